// Owns a test's hand in the extension host: runs what is sent over a socket, and lends a language model whose answers
// come from there too. The socket's path is in AGENT_LSP_HELPER_SOCKET; the folder's name says which window it is.
const net = require("node:net");
const vscode = require("vscode");

const AsyncFunction = Object.getPrototypeOf(async function () {}).constructor;
const kept = {};

exports.activate = (context) => {
  const socket = net.connect(process.env.AGENT_LSP_HELPER_SOCKET);
  const thoughts = new Map();
  let asked = 0;
  const send = (message) => socket.write(JSON.stringify(message) + "\n");
  socket.on("error", () => undefined);
  const hello = () => send({ hello: vscode.workspace.workspaceFolders?.[0]?.uri.fsPath ?? "" });
  socket.on("connect", hello);
  // The folders of a workspace file may come when the extension host is there already.
  context.subscriptions.push(vscode.workspace.onDidChangeWorkspaceFolders(hello));

  async function take(message) {
    if (message.thought !== undefined) {
      thoughts.get(message.thought)?.(message);
      thoughts.delete(message.thought);
      return;
    }
    try {
      const value = await new AsyncFunction("vscode", "kept", "args", message.code)(vscode, kept, message.args);
      send({ id: message.id, value: value === undefined ? null : value });
    } catch (error) {
      send({ id: message.id, error: String(error?.stack ?? error) });
    }
  }

  let rest = "";
  socket.on("data", (data) => {
    const lines = (rest + data).split("\n");
    rest = lines.pop();
    lines.forEach((line) => void take(JSON.parse(line)));
  });

  const provider = {
    provideLanguageModelChatInformation: () =>
      kept.models ?? [],
    provideTokenCount: async (_, text) => JSON.stringify(text).length,
    provideLanguageModelChatResponse: async (model, messages, options, progress, token) => {
      const number = ++asked;
      const answer = new Promise((resolve) => thoughts.set(number, resolve));
      const said = messages.map(({ role, content }) => ({ role, content: content.map(plain) }));
      send({ think: number, model: model.id, messages: said, tools: (options.tools ?? []).map(({ name }) => name) });
      token.onCancellationRequested(() => {
        send({ cancelled: number });
        thoughts.get(number)?.({ parts: [] });
      });
      const { parts, error } = await answer;
      if (error !== undefined) {
        const kind = vscode.LanguageModelError[error.kind];
        throw kind === undefined ? new Error(error.message) : kind(error.message);
      }
      for (const part of parts) {
        progress.report(
          part.text === undefined
            ? new vscode.LanguageModelToolCallPart(part.id, part.name, part.input)
            : new vscode.LanguageModelTextPart(part.text),
        );
      }
    },
  };
  const changed = new vscode.EventEmitter();
  provider.onDidChangeLanguageModelChatInformation = changed.event;
  kept.modelsChanged = () => changed.fire();
  context.subscriptions.push(vscode.lm.registerLanguageModelChatProvider("scripted", provider));
};

function plain(part) {
  if (part instanceof vscode.LanguageModelTextPart) {
    return { text: part.value };
  }
  if (part instanceof vscode.LanguageModelToolCallPart) {
    return { id: part.callId, name: part.name, input: part.input };
  }
  if (part instanceof vscode.LanguageModelToolResultPart) {
    return { callId: part.callId, content: part.content.map((row) => row.value ?? String(row)).join("") };
  }
  return {};
}
