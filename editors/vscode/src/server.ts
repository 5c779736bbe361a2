// Owns where the server program is: the setting, the Python extension, PATH, our own venv.
import { execFile } from "node:child_process";
import { promises as fs } from "node:fs";
import * as path from "node:path";
import * as vscode from "vscode";

/** A program with its arguments; `origin` is told to people. */
export interface ServerProgram {
  command: string;
  args: string[];
  origin: string;
}

const WINDOWS = process.platform === "win32";
const PROBE_MS = 10_000;

/** The first server that is there, or undefined. A setting that names nothing usable is an error, not a fallback. */
export async function findServer(context: vscode.ExtensionContext): Promise<ServerProgram | undefined> {
  const wanted = vscode.workspace.getConfiguration("agentLsp").get<string[] | string>("server.path");
  const words = typeof wanted === "string" ? [wanted] : (wanted ?? []);
  const [command, ...args] = words.map(expandHome).filter((word) => word !== "");
  if (command !== undefined) {
    if (path.isAbsolute(command) ? !(await isFile(command)) : (await onPath(command)) === undefined) {
      throw new Error(`agentLsp.server.path names ${command}, which is not there.`);
    }
    return { command, args, origin: "the setting agentLsp.server.path" };
  }
  return (await ofPythonExtension()) ?? (await plainProgram()) ?? (await ofOwnEnvironment(context));
}

/** The arguments that begin a session over standard input and output. */
export function serving(program: ServerProgram): string[] {
  return [...program.args, "serve"];
}

/** Where the extension keeps a server that it installed itself. */
export function ownEnvironment(context: vscode.ExtensionContext): string {
  return path.join(context.globalStorageUri.fsPath, "venv");
}

/** The Python of a virtual environment. */
export function pythonOf(environment: string): string {
  return WINDOWS ? path.join(environment, "Scripts", "python.exe") : path.join(environment, "bin", "python");
}

async function plainProgram(): Promise<ServerProgram | undefined> {
  const command = await onPath("agent-lsp");
  return command === undefined ? undefined : { command, args: [], origin: "PATH" };
}

async function ofOwnEnvironment(context: vscode.ExtensionContext): Promise<ServerProgram | undefined> {
  const python = pythonOf(ownEnvironment(context));
  return (await hasServer(python)) ? moduleOf(python, "the extension's own environment") : undefined;
}

async function ofPythonExtension(): Promise<ServerProgram | undefined> {
  const python = await interpreter();
  return python !== undefined && (await hasServer(python)) ? moduleOf(python, `the interpreter ${python}`) : undefined;
}

function moduleOf(python: string, origin: string): ServerProgram {
  return { command: python, args: ["-P", "-m", "agent_lsp"], origin };
}

/** What of the Python extension's interface is used here. */
interface PythonEnvironments {
  environments?: {
    getActiveEnvironmentPath(resource?: vscode.Uri): { path: string };
    resolveEnvironment(of: { path: string }): Promise<{ executable: { uri?: vscode.Uri } } | undefined>;
  };
}

/** The interpreter that the Python extension has chosen for the first folder. */
export async function interpreter(): Promise<string | undefined> {
  const extension = vscode.extensions.getExtension<PythonEnvironments>("ms-python.python");
  if (extension === undefined) {
    return undefined;
  }
  try {
    const { environments } = extension.isActive ? extension.exports : await extension.activate();
    const folder = vscode.workspace.workspaceFolders?.[0]?.uri;
    const chosen = await environments?.resolveEnvironment(environments.getActiveEnvironmentPath(folder));
    return chosen?.executable.uri?.fsPath;
  } catch {
    return undefined;
  }
}

function hasServer(python: string): Promise<boolean> {
  return isFile(python).then((there) => there && succeeds(python, ["-P", "-c", "import agent_lsp"]));
}

function succeeds(command: string, args: string[]): Promise<boolean> {
  return new Promise((resolve) => {
    execFile(command, args, { timeout: PROBE_MS, windowsHide: true }, (error) => resolve(error === null));
  });
}

function expandHome(word: string): string {
  return word.startsWith("~/") ? path.join(process.env["HOME"] ?? "~", word.slice(2)) : word;
}

async function isFile(name: string): Promise<boolean> {
  try {
    return (await fs.stat(name)).isFile();
  } catch {
    return false;
  }
}

/** The absolute path of a program on PATH. */
export async function onPath(name: string): Promise<string | undefined> {
  const endings = WINDOWS ? (process.env["PATHEXT"] ?? ".EXE").split(";") : [""];
  for (const folder of (process.env["PATH"] ?? "").split(path.delimiter).filter((part) => path.isAbsolute(part))) {
    for (const ending of endings) {
      const candidate = path.join(folder, name + ending);
      if (await isFile(candidate)) {
        return candidate;
      }
    }
  }
  return undefined;
}
