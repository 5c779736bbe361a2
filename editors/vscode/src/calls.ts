// Owns the way of every command to the server: sent, and what went wrong shown once.
import * as vscode from "vscode";
import { ExecuteCommandRequest, type LanguageClient } from "vscode-languageclient/node";
import { showWhole } from "./messages";
import type { Applied, Commands, ErrorBody, Failure, RunArgument } from "./protocol";

export type CommandName = keyof Commands;
export type Done<N extends CommandName> = Exclude<Commands[N]["result"], ErrorBody>;

const NO_SERVER = "no_server";
const COMES_BACK = "comes_back";

/** Sends commands to whichever client runs now. */
export class Calls {
  constructor(
    private readonly client: () => LanguageClient | undefined,
    private readonly show: (proposalId: string, path: string | undefined) => Promise<void>,
    private readonly comesBack: () => boolean,
  ) {}

  /** The result, or undefined when it was refused; the person has been told why. */
  async send<N extends CommandName>(command: N, argument: Commands[N]["argument"]): Promise<Done<N> | undefined> {
    const result = await this.ask(command, argument);
    if (isRefused(result)) {
      tellRefusal(result.error);
      return undefined;
    }
    if (command === "agent.apply" || command === "agent.rollback") {
      refusalOf(command, result as Applied);
    }
    return result;
  }

  /** The result, or why there is none: the person has not been told. */
  async ask<N extends CommandName>(command: N, argument: Commands[N]["argument"]): Promise<Done<N> | ErrorBody> {
    const client = this.client();
    if (client === undefined) {
      return failure(NO_SERVER, "the server is not running.");
    }
    try {
      const params = { command, arguments: [argument] };
      return (await client.sendRequest(ExecuteCommandRequest.type, params)) as Done<N> | ErrorBody;
    } catch (error) {
      if (this.comesBack()) {
        return failure(COMES_BACK, "the server ended before it answered. It starts again by itself.");
      }
      const why = error instanceof Error ? error.message : String(error);
      return failure(NO_SERVER, `the server did not answer (${why}).`);
    }
  }

  /** A command that an action or a lens of the server named. */
  async fromServer(command: string, given: unknown[]): Promise<unknown> {
    const argument = (given[0] ?? {}) as Record<string, unknown>;
    if (command === "agent.show" && typeof argument["proposalId"] === "string") {
      return this.show(argument["proposalId"], argument["path"] as string | undefined);
    }
    if (command === "agent.run" && argument["askGoal"] === true) {
      return this.runAsked(argument as unknown as RunArgument);
    }
    return this.send(command as CommandName, argument as never);
  }

  private async runAsked(argument: RunArgument): Promise<unknown> {
    const goal = await askGoal("What should be true of the selected lines afterwards?", argument.goal);
    const { askGoal: _, ...rest } = argument;
    return goal === undefined ? undefined : this.send("agent.run", { ...rest, goal });
  }
}

export function isRefused(result: unknown): result is ErrorBody {
  return result !== null && typeof result === "object" && "error" in result;
}

function failure(code: string, message: string): ErrorBody {
  return { error: { code, message, hint: "" } };
}

function tellRefusal({ code, message, hint }: Failure): void {
  if (code === NO_SERVER) {
    offerRestart(message);
  } else if (code === COMES_BACK) {
    void vscode.window.showWarningMessage(`Agent: ${message}`);
  } else {
    void vscode.window.showErrorMessage(`Agent: ${message} ${hint}`.trim());
  }
}

/** The goal in a sentence; undefined when the person thought better of it. */
export async function askGoal(prompt: string, value = ""): Promise<string | undefined> {
  const goal = await vscode.window.showInputBox({
    title: "Agent: new task",
    prompt,
    value,
    placeHolder: "e.g. make the failing tests pass",
    ignoreFocusOut: true,
    validateInput: (text) => (text.trim() === "" ? "Say it in a sentence." : undefined),
  });
  return goal?.trim();
}

function offerRestart(why: string): void {
  void vscode.window.showWarningMessage(`Agent: ${why}`, "Restart").then((answer) => {
    if (answer !== undefined) {
      void vscode.commands.executeCommand("agentLsp.restart");
    }
  });
}

function refusalOf(command: string, result: Applied): void {
  if (!result.applied && result.pending !== true) {
    const what = command === "agent.apply" ? "Not applied." : "Not rolled back.";
    showWhole(vscode.window.showWarningMessage, `Agent: ${what} ${result.reason ?? ""}`.trim());
  }
}
