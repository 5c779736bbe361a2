// Owns the marks on proposed lines: their look, another one while they are stale, and the overview ruler.
import * as vscode from "vscode";
import type { Board } from "./board";

interface Mark {
  stale: boolean;
  empty: boolean;
  type: vscode.TextEditorDecorationType;
}

export function registerDecorations(board: Board): vscode.Disposable {
  const mark = (stale: boolean, empty: boolean): Mark => ({
    stale,
    empty,
    type: vscode.window.createTextEditorDecorationType(look(stale, empty)),
  });
  const marks = [mark(false, false), mark(false, true), mark(true, false), mark(true, true)];
  const show = (): void => {
    const hunks = board.hunks();
    for (const editor of vscode.window.visibleTextEditors) {
      const here = hunks.filter(({ uri }) => uri.toString() === editor.document.uri.toString());
      for (const { stale, empty, type } of marks) {
        const meant = here.filter((placed) => placed.stale === stale && (placed.hunk.oldText === "") === empty);
        editor.setDecorations(type, meant.map(({ range }) => range));
      }
    }
  };
  return vscode.Disposable.from(
    ...marks.map(({ type }) => type),
    board.onDidChange(show),
    vscode.window.onDidChangeVisibleTextEditors(show),
  );
}

/** Of lines that are replaced, or before which `empty` ones come. What is stale is pale, in a dashed frame. */
function look(stale: boolean, empty: boolean): vscode.DecorationRenderOptions {
  const colour = (name: string): vscode.ThemeColor => new vscode.ThemeColor(name);
  const ruler = stale ? "editorOverviewRuler.warningForeground" : "editorOverviewRuler.modifiedForeground";
  const shared = {
    isWholeLine: true,
    overviewRulerColor: colour(ruler),
    overviewRulerLane: vscode.OverviewRulerLane.Left,
  };
  if (stale) {
    const frame = { borderColor: colour("editorWarning.foreground"), borderStyle: "dashed" };
    return { ...shared, ...frame, borderWidth: empty ? "1px 0 0 0" : "1px 0", opacity: "0.6" };
  }
  return empty
    ? {
        ...shared,
        borderColor: colour("editorGutter.addedBackground"),
        borderStyle: "dotted",
        borderWidth: "1px 0 0 0",
      }
    : { ...shared, backgroundColor: colour("diffEditor.removedLineBackground") };
}
