"""The extension's sources agree with the server: types, settings, commands. Needs neither Node nor an editor."""

import json
import re
from pathlib import Path

from agent_lsp.settings.catalogue import catalogue
from tests.editors import protocol_ts, vscode_manifest

FOLDER = Path(__file__).parents[2] / "editors" / "vscode"
MANIFEST = json.loads((FOLDER / "package.json").read_text(encoding="utf-8"))
SOURCES = {path.name: path.read_text(encoding="utf-8") for path in sorted((FOLDER / "src").glob("*.ts"))}


def test_the_types_of_our_messages_are_those_that_the_server_has() -> None:
    assert protocol_ts.PATH.read_text(encoding="utf-8") == protocol_ts.text(), "run make schema"


def test_the_settings_are_those_of_the_server_with_their_words_and_defaults() -> None:
    assert vscode_manifest.PATH.read_text(encoding="utf-8") == vscode_manifest.text(), "run make schema"
    properties = MANIFEST["contributes"]["configuration"]["properties"]
    for key in catalogue().values():
        _, _, of_an_endpoint = key.key.partition("endpoints.NAME.")
        if of_an_endpoint:
            row = properties["agentLsp.endpoints"]["additionalProperties"]["properties"][of_an_endpoint]
        else:
            row = properties[f"agentLsp.{key.key}"]
        assert row["markdownDescription"] == key.description
        assert row["default"] == (list(key.value) if isinstance(key.value, tuple) else key.value)


def test_every_command_of_the_manifest_is_registered_and_every_registered_one_is_in_the_manifest() -> None:
    whole = "\n".join(SOURCES.values())
    registered = {f"agentLsp.{name}" for name in re.findall(r"\b(?:on|steer)\(\"(\w+)\"", whole)}
    registered |= set(re.findall(r"registerCommand\(\"(agentLsp\.\w+)\"", whole))
    contributed = {row["command"] for row in MANIFEST["contributes"]["commands"]}
    assert registered == contributed
    menus = {row["command"] for rows in MANIFEST["contributes"]["menus"].values() for row in rows if "command" in row}
    assert menus <= contributed


def test_the_participant_of_the_chat_and_its_slash_commands_are_those_of_the_manifest() -> None:
    [row] = MANIFEST["contributes"]["chatParticipants"]
    assert f'PARTICIPANT = "{row["id"]}"' in SOURCES["chat.ts"]
    taken = re.findall(r'case "(\w+)":\n +return (?:prompt|this)', SOURCES["chat.ts"])
    assert [command["name"] for command in row["commands"]] == ["run", "plan", "status", "cancel"]
    assert sorted(taken) == sorted(command["name"] for command in row["commands"])


def test_no_command_or_notification_of_the_server_is_unknown_to_its_types() -> None:
    types = SOURCES["protocol.ts"]
    for name, text in SOURCES.items():
        for method in re.findall(r"\"(agent[./][a-z./]+)\"", text):
            assert f'"{method}"' in types, f"{name} uses {method}"


OF_THE_HOST = {"server.ts", "install.ts", "doctor.ts"}
"""Find, install and start the server's program, beside which the extension runs; no other source knows a path."""


def test_what_belongs_to_the_workspace_is_named_by_uris_alone() -> None:
    modules = r"from \"(node:)?(fs|path|os|child_process)(/promises)?\""
    local = re.compile(modules + r"|require\(|fsPath|Uri\.file\(|file://|process\.(env|cwd)")
    found = {name for name, text in SOURCES.items() if local.search(text)}
    assert found == OF_THE_HOST
    inside = [text for name, text in SOURCES.items() if name in OF_THE_HOST for text in re.findall(r".*fsPath.*", text)]
    folders = [line.strip() for line in inside if "globalStorageUri" not in line and "executable" not in line]
    assert folders == ["const folder = vscode.workspace.workspaceFolders?.[0]?.uri.fsPath;"], "where the doctor looks"
    assert MANIFEST["extensionKind"] == ["workspace"], "it runs where the files are"


def test_sources_are_small_and_say_what_they_own() -> None:
    for name, text in SOURCES.items():
        assert text.startswith("// Owns "), name
        assert name == "protocol.ts" or len(text.splitlines()) <= 400, name
        assert name == "protocol.ts" or all(len(line) <= 120 for line in text.splitlines()), name


def test_no_registry_is_named_in_the_lock() -> None:
    lock = json.loads((FOLDER / "package-lock.json").read_text(encoding="utf-8"))
    assert not [name for name, row in lock["packages"].items() if "resolved" in row]
    assert MANIFEST["version"] == lock["version"]
