// Owns the marks on proposed lines: their background, and their place on the overview ruler.
import * as vscode from "vscode";
import type { Board } from "./board";

export function registerDecorations(board: Board): vscode.Disposable {
  const colour = (name: string): vscode.ThemeColor => new vscode.ThemeColor(name);
  const shared = {
    isWholeLine: true,
    overviewRulerColor: colour("editorOverviewRuler.modifiedForeground"),
    overviewRulerLane: vscode.OverviewRulerLane.Left,
  };
  const replaced = vscode.window.createTextEditorDecorationType({
    ...shared,
    backgroundColor: colour("diffEditor.removedLineBackground"),
  });
  const inserted = vscode.window.createTextEditorDecorationType({
    ...shared,
    borderColor: colour("editorGutter.addedBackground"),
    borderStyle: "dashed",
    borderWidth: "1px 0 0 0",
  });
  const show = (): void => {
    const hunks = board.hunks();
    for (const editor of vscode.window.visibleTextEditors) {
      const here = hunks.filter(({ uri }) => uri.toString() === editor.document.uri.toString());
      const ranges = (empty: boolean): vscode.Range[] =>
        here.filter(({ hunk }) => (hunk.oldText === "") === empty).map(({ range }) => range);
      editor.setDecorations(replaced, ranges(false));
      editor.setDecorations(inserted, ranges(true));
    }
  };
  return vscode.Disposable.from(
    replaced,
    inserted,
    board.onDidChange(show),
    vscode.window.onDidChangeVisibleTextEditors(show),
  );
}
