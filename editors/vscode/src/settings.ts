// Owns what the server is told of the settings: only what a person set, so that its own files keep their say.
import * as vscode from "vscode";

export const SECTION = "agentLsp";
const OURS = ["server."];

interface Contribution {
  contributes?: { configuration?: { properties?: Record<string, unknown> } };
}

/** The keys of package.json that are the server's. */
export function serverKeys(extension: vscode.Extension<unknown>): string[] {
  const properties = (extension.packageJSON as Contribution).contributes?.configuration?.properties ?? {};
  return Object.keys(properties)
    .map((key) => key.slice(SECTION.length + 1))
    .filter((key) => !OURS.some((prefix) => key.startsWith(prefix)));
}

/** The section as the server takes it; what nobody set is left out. */
export function explicitSettings(keys: readonly string[], scope: vscode.Uri | undefined): Record<string, unknown> {
  const configuration = vscode.workspace.getConfiguration(SECTION, scope ?? null);
  const result: Record<string, Record<string, unknown>> = {};
  for (const key of keys) {
    const seen = configuration.inspect(key);
    const value = seen?.workspaceFolderValue ?? seen?.workspaceValue ?? seen?.globalValue;
    if (value !== undefined && value !== null) {
      const [table = "", name = ""] = key.split(".");
      result[table] = { ...result[table], [name]: value };
    }
  }
  return result;
}
