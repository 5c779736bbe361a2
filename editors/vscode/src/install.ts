// Owns the installation of a server of our own: asked first, in a private virtual environment.
import { execFile } from "node:child_process";
import { promises as fs } from "node:fs";
import * as vscode from "vscode";
import { interpreter, onPath, ownEnvironment, pythonOf } from "./server";

const NEEDS = "import sys, venv; sys.exit(sys.version_info < (3, 11))";
const INSTALL_MS = 10 * 60_000;

/** Offers to install; whether a server is there now. */
export async function offerInstall(context: vscode.ExtensionContext, log: vscode.LogOutputChannel): Promise<boolean> {
  const wanted = vscode.workspace.getConfiguration("agentLsp").get<string>("server.package") ?? "agent-lsp-server";
  const install = "Install";
  const settings = "Open Settings";
  const answer = await vscode.window.showInformationMessage(
    `Agent LSP needs its server, the Python package ${wanted}. ` +
      "Install it with pip into a private environment of this extension?",
    install,
    settings,
  );
  if (answer === settings) {
    await vscode.commands.executeCommand("workbench.action.openSettings", "agentLsp.server");
  }
  if (answer !== install) {
    return false;
  }
  return vscode.window.withProgress(
    { location: vscode.ProgressLocation.Notification, title: `Installing ${wanted}`, cancellable: true },
    async (_, token) => {
      const stop = new AbortController();
      token.onCancellationRequested(() => stop.abort());
      try {
        await installInto(ownEnvironment(context), wanted, log, stop.signal);
        return true;
      } catch (error) {
        log.error(String(error));
        const why = `Agent LSP could not be installed: ${firstLine(error)} See the output channel.`;
        void vscode.window.showErrorMessage(why);
        return false;
      }
    },
  );
}

async function installInto(
  environment: string,
  wanted: string,
  log: vscode.LogOutputChannel,
  signal: AbortSignal,
): Promise<void> {
  const python = await newEnoughPython(signal);
  if (python === undefined) {
    throw new Error("It needs Python 3.11 or newer with the venv module, and none was found on PATH.");
  }
  await fs.mkdir(environment, { recursive: true });
  log.info(await run(python, ["-m", "venv", environment], signal));
  log.info(await run(pythonOf(environment), ["-m", "pip", "install", "--upgrade", wanted], signal));
}

async function newEnoughPython(signal: AbortSignal): Promise<string | undefined> {
  const named = ["python3", "python3.14", "python3.13", "python3.12", "python3.11", "python"];
  const found = [await interpreter(), ...(await Promise.all(named.map(onPath)))];
  for (const python of found) {
    try {
      if (python !== undefined) {
        await run(python, ["-c", NEEDS], signal);
        return python;
      }
    } catch {
      signal.throwIfAborted();
    }
  }
  return undefined;
}

function run(command: string, args: string[], signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(command, args, { timeout: INSTALL_MS, signal, windowsHide: true }, (error, out, err) => {
      if (error === null) {
        resolve(out.trim());
      } else {
        reject(new Error(err.trim() || error.message));
      }
    });
  });
}

function firstLine(error: unknown): string {
  const words = error instanceof Error ? error.message : String(error);
  return words.split("\n")[0] ?? words;
}
