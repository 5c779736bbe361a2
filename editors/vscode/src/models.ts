// Owns the lending of the editor's language models: `agent/model/list` and `agent/model/complete` onto `vscode.lm`.
import * as vscode from "vscode";
import { RequestType, type LanguageClient } from "vscode-languageclient/node";
import type { CallBlock, CompleteParams, Completion, ErrorBody, LentModels, ModelMessage, TextBlock } from "./protocol";

const COMPLETE = new RequestType<CompleteParams, Completion | ErrorBody, void>("agent/model/complete");
const WHY = "Agent LSP plans and makes the change that you asked for, and tests it.";

/** Answers the server; VS Code itself asks the person for consent, once for each model's owner. */
export function lendModels(client: LanguageClient): void {
  client.onRequest("agent/model/list", list);
  client.onRequest(COMPLETE, complete);
}

async function list(): Promise<LentModels> {
  const models = await vscode.lm.selectChatModels();
  return {
    models: models.map(({ id, name, vendor, family, version, maxInputTokens }) => ({
      id,
      name,
      vendor,
      family,
      version,
      maxInputTokens,
    })),
  };
}

async function complete(params: CompleteParams, token: vscode.CancellationToken): Promise<Completion | ErrorBody> {
  const [model] = await vscode.lm.selectChatModels({ id: params.model });
  if (model === undefined) {
    return failure("no_model", `There is no model ${params.model} any more.`);
  }
  try {
    const messages = [vscode.LanguageModelChatMessage.User(params.system), ...params.messages.map(message)];
    const response = await model.sendRequest(messages, options(params), token);
    const blocks = await read(response);
    const calls = blocks.some((block) => block.type === "call");
    const stop = calls ? "tool_use" : "end";
    const usage = await counted(model, params, blocks, token);
    return { blocks, stop, model: model.id, ...(usage === undefined ? {} : { usage }) };
  } catch (error) {
    if (token.isCancellationRequested) {
      return failure("cancelled", "It was cancelled.");
    }
    return failure(codeOf(error), error instanceof Error ? error.message : String(error));
  }
}

function options({ tools, mustCall }: CompleteParams): vscode.LanguageModelChatRequestOptions {
  if (tools.length === 0) {
    return { justification: WHY };
  }
  // Some models only support `Required` with a single tool.
  const forced = mustCall && tools.length === 1;
  return {
    justification: WHY,
    tools,
    toolMode: forced ? vscode.LanguageModelChatToolMode.Required : vscode.LanguageModelChatToolMode.Auto,
  };
}

function message({ role, blocks }: ModelMessage): vscode.LanguageModelChatMessage {
  if (role === "assistant") {
    const said: Array<vscode.LanguageModelTextPart | vscode.LanguageModelToolCallPart> = [];
    for (const block of blocks) {
      if (block.type === "text") {
        said.push(new vscode.LanguageModelTextPart(block.text));
      } else if (block.type === "call") {
        said.push(new vscode.LanguageModelToolCallPart(block.id, block.name, block.input));
      }
    }
    return vscode.LanguageModelChatMessage.Assistant(said);
  }
  const told: Array<vscode.LanguageModelTextPart | vscode.LanguageModelToolResultPart> = [];
  for (const block of blocks) {
    if (block.type === "text") {
      told.push(new vscode.LanguageModelTextPart(block.text));
    } else if (block.type === "result") {
      const text = new vscode.LanguageModelTextPart(block.failed ? `Error: ${block.text}` : block.text);
      told.push(new vscode.LanguageModelToolResultPart(block.callId, [text]));
    }
  }
  return vscode.LanguageModelChatMessage.User(told);
}

async function read(response: vscode.LanguageModelChatResponse): Promise<Array<TextBlock | CallBlock>> {
  const blocks: Array<TextBlock | CallBlock> = [];
  for await (const part of response.stream) {
    const last = blocks[blocks.length - 1];
    if (part instanceof vscode.LanguageModelToolCallPart) {
      blocks.push({ type: "call", id: part.callId, name: part.name, input: part.input as Record<string, unknown> });
    } else if (part instanceof vscode.LanguageModelTextPart) {
      if (last?.type === "text") {
        last.text += part.value;
      } else {
        blocks.push({ type: "text", text: part.value });
      }
    }
  }
  return blocks;
}

/** Tokens by the model's own count; undefined where it does not count. */
async function counted(
  model: vscode.LanguageModelChat,
  params: CompleteParams,
  answer: Array<TextBlock | CallBlock>,
  token: vscode.CancellationToken,
): Promise<Completion["usage"]> {
  try {
    const asked = [params.system, ...params.messages.flatMap(({ blocks }) => blocks.map(words))].join("\n");
    const [inputTokens, outputTokens] = await Promise.all([
      model.countTokens(asked, token),
      model.countTokens(answer.map(words).join("\n"), token),
    ]);
    return { inputTokens, outputTokens };
  } catch {
    return undefined;
  }
}

function words(block: ModelMessage["blocks"][number]): string {
  return block.type === "call" ? `${block.name} ${JSON.stringify(block.input)}` : block.text;
}

function codeOf(error: unknown): string {
  if (!(error instanceof vscode.LanguageModelError)) {
    return "failed";
  }
  switch (error.code) {
    case vscode.LanguageModelError.NoPermissions.name:
      return "no_permission";
    case vscode.LanguageModelError.NotFound.name:
      return "no_model";
    case vscode.LanguageModelError.Blocked.name:
      return /quota|limit/i.test(error.message) ? "quota" : "blocked";
    default:
      return "failed";
  }
}

function failure(code: string, message: string): ErrorBody {
  return { error: { code, message, hint: "" } };
}
