// Owns the extension's chat outside of an editor: its own modules on the real server; a test says prompts and presses
// buttons by lines of JSON, and is told by such lines what the editor would show.
import * as readline from "node:readline";
import * as vscode from "vscode";
import { held } from "vscode-languageclient/node";
import { Board } from "../../../editors/vscode/src/board";
import { Calls } from "../../../editors/vscode/src/calls";
import { registerChat } from "../../../editors/vscode/src/chat";
import { Checkpoints } from "../../../editors/vscode/src/checkpoints";
import { Connection } from "../../../editors/vscode/src/client";
import { PlanCommands } from "../../../editors/vscode/src/plan";
import { Replies } from "../../../editors/vscode/src/replies";
import { ReviewCommands } from "../../../editors/vscode/src/review";
import { TaskCommands } from "../../../editors/vscode/src/tasks";

const [, , folder, trusted, ...serverPath] = process.argv;
Object.assign(vscode.setup, { folder, serverPath, trusted: trusted === "trusted" });
const send = (row) => process.stdout.write(`${JSON.stringify(row)}\n`);
vscode.told.send = send;

const log = { info: () => undefined, error: (text) => send({ log: text }) };
const context = { extension: { packageJSON: {} }, asAbsolutePath: (path) => `/nowhere/${path}` };
const board = new Board();
const replies = new Replies();
const connection = new Connection(context, log, board, replies);
const calls = new Calls(() => connection.current, async (proposalId) => send({ opened: proposalId }), () => connection.comesBack);
connection.calls = calls;
new TaskCommands(board, calls, connection).register();
new PlanCommands(board, calls).register();
new ReviewCommands(board, calls, { collapse: () => undefined }).register();
new Checkpoints(board, calls).register();
registerChat(board, calls, connection, replies);

const history = [];
const turns = new Map();
let buttons = [];

async function ask({ turn, prompt = "", command, references = [] }) {
  const source = new vscode.CancellationTokenSource();
  turns.set(turn, source);
  const write = (row) => {
    if (source.token.isCancellationRequested) {
      throw new Error("Response stream has been closed"); // as the editor does
    }
    send({ turn, ...row });
  };
  const stream = {
    markdown: (text) => write({ markdown: typeof text === "string" ? text : text.value }),
    progress: (text) => write({ progress: text }),
    reference: (uri) => write({ reference: `${uri}` }),
    button: (button) => {
      buttons.push(button);
      write({ button: button.title, known: vscode.commands.known(button.command) || button.command });
    },
  };
  buttons = [];
  const attached = references.map(({ uri, range }) =>
    range === undefined ? { value: vscode.Uri.parse(uri) } : { value: new vscode.Location(vscode.Uri.parse(uri), range) },
  );
  const { participant } = vscode.chat;
  let result;
  try {
    result = await participant.requestHandler({ prompt, command, references: attached }, { history: [...history] }, stream, source.token);
  } catch (error) {
    send({ turn, thrown: String(error?.stack ?? error) });
    return;
  }
  history.push({ prompt, participant: participant.id }, { response: [], result, participant: participant.id });
  const followups = participant.followupProvider.provideFollowups(result, {}, source.token);
  send({ turn, result, followups });
}

const does = {
  ask,
  stop: ({ turn }) => turns.get(turn).cancel(),
  press: ({ title }) => {
    const { command, arguments: given = [] } = buttons.find((button) => button.title === title);
    return vscode.commands.executeCommand(command, ...given);
  },
  forget: () => history.splice(0),
  hold: ({ method }) => Object.assign(held, { method }),
  release: () => {
    held.method = undefined;
    held.messages.splice(0).forEach((handle) => handle());
  },
  kill: () => connection.client.process.kill("SIGKILL"),
};

await connection.restart();
send({ ready: connection.health.state });
for await (const line of readline.createInterface({ input: process.stdin })) {
  const row = JSON.parse(line);
  void does[row.do](row);
}
await connection.dispose();
