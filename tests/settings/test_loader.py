"""Settings: layers, later wins; wrong keys and types are one clear message; what a workspace may not do by itself."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from agent_lsp.domain.conversation import Phase
from agent_lsp.domain.errors import ConfigError
from agent_lsp.domain.task import Budget
from agent_lsp.domain.tiers import Tier
from agent_lsp.settings.catalogue import catalogue
from agent_lsp.settings.endpoint import endpoint, endpoints
from agent_lsp.settings.loader import Loaded, load
from agent_lsp.settings.log_choice import LogChoice, log_choice
from agent_lsp.settings.model import DEFAULT_MODEL, Settings
from agent_lsp.settings.restriction import RULES
from agent_lsp.settings.trust import TrustStore, trust_file


class Place:
    """A workspace, a user's file and an environment that point at nothing else."""

    def __init__(self, home: Path) -> None:
        self.root = home / "work"
        self.root.mkdir()
        self.user = home / "config.toml"
        self.user.write_text("")
        self.data = home / "data"
        self.environ = {"AGENT_LSP_CONFIG": str(self.user), "AGENT_LSP_DATA_DIR": str(self.data)}

    def load(
        self,
        client: Mapping[str, Any] | None = None,
        arguments: Mapping[str, Any] | None = None,
        sandboxed: bool = False,
        **environ: str,
    ) -> Loaded:
        return load(self.root, client=client, arguments=arguments, environ=self.environ | environ, sandboxed=sandboxed)

    def workspace(self, text: str) -> None:
        (self.root / "agent-lsp.toml").write_text(text)

    def refusal(self, *args: Any, **kwargs: Any) -> ConfigError:
        with pytest.raises(ConfigError) as caught:
            self.load(*args, **kwargs)
        return caught.value


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_with_nothing_set_the_defaults_hold(place: Place) -> None:
    loaded = place.load()
    assert loaded == Loaded(Settings())
    assert loaded.settings.model.name == DEFAULT_MODEL
    assert loaded.settings.budget.to_domain() == Budget()
    assert loaded.settings.log.max_mb == 5
    assert loaded.settings.runtime.idle_exit_s == 600


def test_the_default_model_is_one_that_the_installed_sdk_knows() -> None:
    found = find_spec("anthropic")
    assert found is not None
    assert found.origin is not None
    assert f'"{DEFAULT_MODEL}"' in (Path(found.origin).parent / "types" / "model.py").read_text()


def test_each_layer_wins_over_the_one_before(place: Place) -> None:
    place.user.write_text('[model]\nname = "user"\n')
    assert place.load().settings.model.name == "user"
    place.workspace('[model]\nname = "workspace"\n')
    assert place.load().settings.model.name == "workspace"
    assert place.load(AGENT_LSP_MODEL__NAME="environment").settings.model.name == "environment"
    client = {"model": {"name": "client"}}
    assert place.load(client, AGENT_LSP_MODEL__NAME="environment").settings.model.name == "client"
    last = place.load(client, {"model.name": "argument"}, AGENT_LSP_MODEL__NAME="environment")
    assert last.settings.model.name == "argument"
    assert last.sources == {"model.name": "the command line"}


def test_layers_add_up_key_by_key_and_tell_where_each_came_from(place: Place) -> None:
    place.user.write_text("[budget]\ntokens = 5\nturns = 7\n")
    place.workspace('[budget]\nturns = 3\n[tests]\nargs = ["-q"]\n')
    loaded = place.load(AGENT_LSP_LOG__LEVEL="debug", client={"proposal": {"revalidateAfterS": 2}})
    assert (loaded.settings.budget.tokens, loaded.settings.budget.turns) == (5, 3)
    assert loaded.settings.tests.args == ("-q",)
    assert loaded.settings.proposal.revalidate_after_s == 2
    assert loaded.sources["budget.tokens"] == str(place.user)
    assert loaded.sources["budget.turns"] == str(place.root / "agent-lsp.toml")
    assert loaded.sources["log.level"] == "AGENT_LSP_LOG__LEVEL"
    assert "editor" in loaded.sources["proposal.revalidate_after_s"]


def test_every_key_can_be_set_by_its_environment_name(place: Place) -> None:
    samples = {
        "true or false": "true",
        "number": "3.5",
        "whole number": "300",
        "string": "X",
        "http or https address": "http://localhost:1",
        "list of strings, or one string": "a 'b c'",
        "list of hosts, or one string": "a.org *.b.org:8443",
    }
    for entry in catalogue().values():
        choice = re.findall(r'"(\w+)"', entry.type_name)
        text = choice[-1] if choice else samples[entry.type_name]
        text = "50" if entry.key in ("log.backups", "model.retries", "budget.tries", "tests.mutations") else text
        loaded = load(place.root, environ=place.environ | {entry.environment: text})
        key = entry.key.lower()
        assert loaded.sources == {key: entry.environment}
        section, _, name = key.rpartition(".")
        table = loaded.settings.endpoints["name"] if section == "endpoints.name" else getattr(loaded.settings, section)
        assert getattr(table, name) != ""


def test_text_of_the_environment_becomes_numbers_booleans_and_lists(place: Place) -> None:
    settings = place.load(
        AGENT_LSP_SANDBOX__NETWORK="true",
        AGENT_LSP_BUDGET__TOKENS="unlimited",
        AGENT_LSP_BUDGET__COST_USD="1.5",
        AGENT_LSP_TESTS__COMMAND="make 'my test'",
        AGENT_LSP_LOG__LEVEL="",
    ).settings
    assert settings.sandbox.network is True
    assert settings.budget.tokens is None
    assert settings.budget.cost_usd == 1.5
    assert settings.tests.command == ("make", "my test")
    assert settings.log.level == "info"


def test_the_editor_may_write_camel_case_snake_case_null_and_the_section_itself(place: Place) -> None:
    for client in (
        {"model": {"baseURL": "http://x", "apiKeyEnv": "MY_KEY", "maxTokens": None}, "trace": {"server": "off"}},
        {"agentLsp": {"model": {"base_url": "http://x", "api_key_env": "MY_KEY"}}},
    ):
        settings = place.load(client).settings
        assert (settings.model.base_url, settings.model.api_key_env) == ("http://x", "MY_KEY")
        assert settings.model.max_tokens == Settings().model.max_tokens
    assert place.load({"tests": {"interpreter": ""}}).settings.tests.interpreter is None
    assert place.load({}).settings == Settings()


MISTAKES: list[tuple[str, str, str]] = [
    ('[model]\nnmae = "x"\n', "unknown key `model.nmae`", "Did you mean `model.name`?"),
    ("[budgets]\ntokens = 1\n", "unknown key `budgets.tokens`", "Did you mean `budget.tokens`?"),
    ("tokens = 1\n", "unknown key `tokens`", "Did you mean `budget.tokens`?"),
    ("[zzz]\nqqq = 1\n", "unknown key `zzz.qqq`", "docs/configuration.md"),
    ("model = 3\n", "`model` is a section", "[model]"),
    ("[endpoints]\nfast = 3\n", "`endpoints.fast` is a section", "[endpoints.fast]"),
    ('[endpoints.fast]\nnmae = "x"\n', "unknown key `endpoints.fast.nmae`", "Did you mean `endpoints.fast.name`?"),
    ('[endpoints.Fast]\nname = "x"\n', "no name for an endpoint", "small letters"),
    ('[endpoints.fast]\nprovider = "x"\n', '"anthropic" or "openai" or "ollama"', ""),
    ('[endpoints.fast]\nmax_tokens = "x"\n', "`endpoints.fast.max_tokens` must be whole number", ""),
    ('[budget]\ntokens = "many"\n', "`budget.tokens` must be whole number", ""),
    ("[budget]\ntokens = true\n", "`budget.tokens` must be whole number", ""),
    ("[budget]\ntokens = 0\n", "greater than or equal to 1", ""),
    ("[budget]\ncost_usd = nan\n", "`budget.cost_usd` must be number", ""),
    ("[log]\nmax_mb = 2000-01-01\n", "`log.max_mb` must be number", ""),
    ('[log]\nlevel = "loud"\n', '"debug" or "info" or "warning" or "error", not \'loud\'', ""),
    ('[sandbox]\nnetwork = "yes"\n', "`sandbox.network` must be true or false, not 'yes'", ""),
    (
        '[sandbox]\nnetwork_hosts = ["https://x.org"]\n',
        "`sandbox.network_hosts` must be",
        "'https://x.org': a host is a name",
    ),
    ('[sandbox]\nnetwork_hosts = "a.org b.org/c"\n', "`sandbox.network_hosts` must be", "'b.org/c': a host is a name"),
    ("[tests]\nargs = [1]\n", "`tests.args` must be list of strings", ""),
    ('[tests]\ncommand = "a \'b"\n', "`tests.command` must be list of strings", ""),
    ("[model.name]\ndeep = 1\n", "`model.name` must be string", ""),
    ('[model]\nbase_url = "localhost"\n', "`model.base_url` must be http or https address", ""),
    ("[model\n", "at line 1", "TOML"),
    ('[model]\nname = "a"\nname = "b"\n', "line 3", "TOML"),
]


@pytest.mark.parametrize(("text", "message", "hint"), MISTAKES)
@pytest.mark.parametrize("where", ["user", "workspace"])
def test_a_mistake_is_one_message_that_names_the_key_and_the_file(
    place: Place, where: str, text: str, message: str, hint: str
) -> None:
    path = place.user if where == "user" else place.root / "agent-lsp.toml"
    path.write_text(text)
    error = place.refusal()
    assert error.message.startswith(f"{path}: ")
    assert message in error.message
    assert hint in error.hint
    assert "\n" not in error.message
    assert "pydantic" not in error.message


def test_several_mistakes_of_one_file_come_together(place: Place) -> None:
    place.workspace("[model]\n" + "".join(f"wrong{n} = 1\n" for n in range(9)))
    assert place.refusal().message.count("unknown key") == 5
    assert place.refusal().message.endswith("and 4 more")


def test_mistakes_of_the_environment_and_the_editor_name_what_was_written_there(place: Place) -> None:
    error = place.refusal(AGENT_LSP_MODEL__NMAE="x")
    assert "`AGENT_LSP_MODEL__NMAE`" in error.message
    assert "AGENT_LSP_MODEL__NAME" in error.hint
    assert "AGENT_LSP_MODEL__NAME" in place.refusal(AGENT_LSP_MODEL_NAME="x").hint
    assert "`AGENT_LSP_BUDGET__TOKENS` must be" in place.refusal(AGENT_LSP_BUDGET__TOKENS="lots").message
    assert "`model.maxTokenz`" in place.refusal({"model": {"maxTokenz": 1}}).message
    assert "`model.maxTokens` must be whole number, not '7'" in place.refusal({"model": {"maxTokens": "7"}}).message
    assert "the command line" in place.refusal(arguments={"budget": {"tokens": "x"}}).message


def test_variables_that_are_no_settings_are_left_alone(place: Place) -> None:
    assert place.load(AGENT_LSP_SOMETHING="1", OTHER__NAME="2").settings == Settings()


def test_files_that_cannot_be_read_are_told_with_their_reason(place: Place) -> None:
    place.user.write_bytes(b"[model]\nname = '\xff'\n")
    assert "not UTF-8 at byte 16" in place.refusal().message
    place.user.unlink()
    assert "AGENT_LSP_CONFIG names" in place.refusal().message
    place.user.mkdir()
    assert "not a regular file" in place.refusal().message
    place.user.rmdir()
    os.mkfifo(place.user)
    assert "not a regular file" in place.refusal().message
    place.user.unlink()
    for text in ("[model]\nname = " + "[" * 5000, "[budget]\ntokens = " + "9" * 5000, "#" * 2_000_000):
        place.user.write_text(text)
        assert place.refusal().message.startswith(f"{place.user}: ")


def test_a_file_with_a_byte_order_mark_and_windows_line_ends_is_read(place: Place) -> None:
    place.user.write_bytes(b'\xef\xbb\xbf[model]\r\nname = "x"\r\n')
    assert place.load().settings.model.name == "x"


def test_a_key_put_where_the_name_of_its_variable_belongs_is_not_repeated(place: Place) -> None:
    place.user.write_text('[model]\napi_key_env = "sk-ant-abc"\n')
    assert "sk-ant" not in place.refusal().message


def test_the_standard_variables_choose_the_provider(place: Place) -> None:
    def chosen(**environ: str) -> tuple[str, str | None, str | None]:
        everything = place.environ | environ
        found = endpoint(load(place.root, environ=everything).settings.model, everything)
        return found.provider, found.base_url, found.api_key

    assert chosen() == ("embedded", None, None)
    assert chosen(ANTHROPIC_API_KEY=" ") == ("embedded", None, None)
    assert chosen(ANTHROPIC_API_KEY="k") == ("anthropic", None, "k")
    assert chosen(ANTHROPIC_BASE_URL="http://x") == ("anthropic", "http://x", None)
    assert chosen(ANTHROPIC_BASE_URL="http://x", AGENT_LSP_MODEL__BASE_URL="http://y")[1] == "http://y"
    assert chosen(ANTHROPIC_API_KEY="k", AGENT_LSP_MODEL__PROVIDER="embedded")[0] == "embedded"
    assert chosen(AGENT_LSP_MODEL__API_KEY_ENV="MINE", MINE="m") == ("anthropic", None, "m")
    assert "ANTHROPIC_BASE_URL" in place.refusal(ANTHROPIC_BASE_URL="localhost").message


def test_the_key_is_not_in_the_text_of_the_endpoint(place: Place) -> None:
    assert "topsecret" not in repr(endpoint(Settings().model, {"ANTHROPIC_API_KEY": "topsecret"}))


TIERS = """
[model]
name = "big"
[endpoints.local]
provider = "openai"
name = "small"
base_url = "http://127.0.0.1:8000/v1"
[tiers]
tiny = ["local"]
mid = ["default", "local"]
thinker = "anthropic:claude-opus-5-5"
planning = "thinker"
"""


def test_tiers_name_endpoints_in_order(place: Place) -> None:
    place.user.write_text(TIERS)
    environ = place.environ | {"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": "http://gate"}
    found = endpoints(load(place.root, environ=environ).settings, environ)
    assert found.table.order(Tier.TINY) == ("local", "default")
    assert found.table.order(Tier.MID) == ("default", "local")
    assert found.table.order(Tier.THINKER) == ("anthropic:claude-opus-5-5", "default", "local")
    local, opus = found.by_name["local"], found.by_name["anthropic:claude-opus-5-5"]
    assert (local.provider, local.name, local.base_url, local.api_key) == (
        "openai",
        "small",
        "http://127.0.0.1:8000/v1",
        None,
    )
    assert (opus.provider, opus.name, opus.base_url, opus.api_key) == (
        "anthropic",
        "claude-opus-5-5",
        "http://gate",
        "k",
    )
    assert found.phases == {Phase.PLANNING: Tier.THINKER}


def test_without_a_model_of_its_own_mid_is_what_other_tiers_have(place: Place) -> None:
    found = endpoints(place.load(AGENT_LSP_TIERS__THINKER="openai:gpt").settings, {"OPENAI_API_KEY": "k"})
    assert found.table.order(Tier.MID) == ("openai:gpt",)
    assert not endpoints(Settings(), {}).any_model


def test_a_tier_that_names_no_endpoint_is_one_clear_message(place: Place) -> None:
    place.user.write_text(TIERS.replace('tiny = ["local"]', 'tiny = ["locla"]'))
    with pytest.raises(ConfigError) as caught:
        endpoints(place.load().settings, {})
    assert (caught.value.message, caught.value.hint) == (
        "tiers.tiny names `locla`, and there is no [endpoints.locla]",
        "Did you mean `local`?",
    )


def test_an_endpoint_of_a_workspace_waits_for_trust(place: Place) -> None:
    place.workspace('[endpoints.evil]\nbase_url = "http://evil"\n[tiers]\nplanning = "tiny"\n')
    loaded = place.load()
    assert [row.key for row in loaded.withheld] == ["endpoints.evil.base_url"]
    assert loaded.settings.endpoints == {}
    assert loaded.settings.tiers.planning == "tiny"
    TrustStore(trust_file(place.environ)).decide(place.root, loaded.digest, trusted=True)
    assert place.load().settings.endpoints["evil"].base_url == "http://evil"


def test_keys_of_one_endpoint_may_come_from_several_places(place: Place) -> None:
    place.user.write_text('[endpoints.fast]\nname = "a"\nmax_tokens = 300\n')
    loaded = place.load({"endpoints": {"fast": {"maxTokens": 400}}}, AGENT_LSP_ENDPOINTS__FAST__NAME="b")
    fast = loaded.settings.endpoints["fast"]
    assert (fast.name, fast.max_tokens) == ("b", 400)


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"AGENT_LSP_MODEL__PROVIDER": "recorded"}, "no file is named"),
        ({"AGENT_LSP_MODEL__PROVIDER": "ollama"}, "no model is named"),
        ({"AGENT_LSP_MODEL__PROVIDER": "openai", "AGENT_LSP_MODEL__NAME": "x"}, "neither a key nor an address"),
        ({"AGENT_LSP_MODEL__PROVIDER": "anthropic", "AGENT_LSP_MODEL__API_KEY_KEYRING": "bank"}, "no entry of a keyr"),
    ],
)
def test_what_only_a_person_can_tell_is_asked_for(place: Place, environ: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        endpoints(load(place.root, environ=place.environ | environ).settings, environ).check()


RISKY = {
    "model.provider": '"anthropic"',
    "model.base_url": '"http://evil"',
    "model.api_key_env": '"AWS_SECRET"',
    "model.api_key_keyring": '"bank/me"',
    "model.file": '"~/.bashrc"',
    "model.record": '"~/.bashrc"',
    "model.input_usd_per_mtok": "0",
    "model.output_usd_per_mtok": "0",
    "model.cache_read_usd_per_mtok": "0",
    "model.cache_write_usd_per_mtok": "0",
    "tiers.tiny": '["anthropic:claude-fable-5-1"]',
    "tiers.mid": '["anthropic:claude-fable-5-1"]',
    "tiers.thinker": '["anthropic:claude-fable-5-1"]',
    "budget.tokens": '"unlimited"',
    "budget.cost_usd": "1000",
    "budget.wall_clock_s": "99999",
    "budget.turns": "101",
    "budget.tries": "99",
    "context.private": '["!.env"]',
    "tests.interpreter": '"/tmp/python"',
    "tests.command": '["rm", "-rf", "/"]',
    "tests.baselines_mb": "5000",
    "tests.mutations": "4",
    "tests.new_findings": '"off"',
    "sandbox.kind": '"clone"',
    "sandbox.network": "true",
    "sandbox.network_hosts": '["index.example.net"]',
    "sandbox.commands_without_sandbox": "true",
    "sandbox.visible": '["~/.ssh"]',
    "proposal.allow_unproven": "true",
    "cache.max_gb": "500",
    "repair.tries": "100000",
    "runs.parallel_machine": "100",
    "repair.wall_clock_s": "86400",
}


def _toml(values: Mapping[str, str]) -> str:
    return "".join("[{}]\n{} = {}\n".format(*key.split("."), value) for key, value in values.items())


def test_private_files_that_a_workspace_names_come_on_top_of_the_persons_own(place: Place) -> None:
    place.user.write_text('[context]\nprivate = ["mine"]\n')
    place.workspace('[context]\nprivate = ["theirs/", "mine"]\n')
    loaded = place.load()
    assert loaded.settings.context.private == ("mine", "theirs/")
    assert loaded.withheld == ()


def test_every_restricted_key_has_a_sample_here() -> None:
    lax = {"sandbox.tests_without_sandbox", *(f"budget.day_{name}" for name in ("tokens", "cost_usd", "turns"))}
    lax.add("budget.day_wall_clock_s")
    assert {*RISKY, *lax} == set(RULES), "their defaults are the lax ones"
    assert set(RULES) <= set(catalogue())


@pytest.mark.parametrize("key", RISKY)
def test_a_workspace_may_not_set_it_by_itself(place: Place, key: str) -> None:
    place.workspace(_toml({key: RISKY[key]}))
    loaded = place.load()
    assert loaded.settings == Settings()
    assert [row.key for row in loaded.withheld] == [key]
    assert key in loaded.question
    assert not loaded.refused
    TrustStore(trust_file(place.environ)).decide(place.root, loaded.digest, trusted=True)
    trusted = place.load()
    assert trusted.settings != Settings()
    assert trusted.withheld == ()
    assert trusted.sources == {key: str(place.root / "agent-lsp.toml")}


def test_the_persons_own_layers_may_set_what_a_workspace_may_not(place: Place) -> None:
    place.user.write_text("[sandbox]\nnetwork = true\n[budget]\ntokens = 9000000\n")
    loaded = place.load({"proposal": {"allowUnproven": True}}, AGENT_LSP_SANDBOX__KIND="clone")
    assert loaded.withheld == ()
    assert loaded.settings.sandbox.network
    assert loaded.settings.proposal.allow_unproven
    assert loaded.settings.sandbox.kind == "clone"


def test_a_workspace_may_make_things_stricter(place: Place) -> None:
    place.user.write_text("[sandbox]\nnetwork = true\n[budget]\ntokens = 9000000\nturns = 5\n")
    place.workspace('[sandbox]\nnetwork = false\nkind = "overlay"\n[budget]\ntokens = 8000000\nturns = 5\ntries = 1\n')
    loaded = place.load()
    assert loaded.withheld == ()
    assert loaded.settings.budget.tokens == 8_000_000
    assert not loaded.settings.sandbox.network
    place.user.write_text('[sandbox]\nkind = "bubblewrap"\n')
    place.workspace('[sandbox]\nkind = "auto"\n')
    assert [row.key for row in place.load().withheld] == ["sandbox.kind"]


def test_a_workspace_may_refuse_tests_without_a_sandbox_and_not_allow_them(place: Place) -> None:
    place.workspace('[sandbox]\ntests_without_sandbox = "refuse"\n')
    assert place.load().settings.sandbox.tests_without_sandbox == "refuse"
    assert place.load().withheld == ()
    place.user.write_text('[sandbox]\ntests_without_sandbox = "refuse"\n')
    place.workspace('[sandbox]\ntests_without_sandbox = "tell"\n')
    assert place.load().settings.sandbox.tests_without_sandbox == "refuse"
    assert [row.key for row in place.load().withheld] == ["sandbox.tests_without_sandbox"]


def test_a_workspace_may_show_commands_less_of_the_disk_and_not_more(place: Place) -> None:
    place.user.write_text('[sandbox]\nvisible = ["~/.gitconfig", "/data"]\n')
    place.workspace('[sandbox]\nvisible = ["/data"]\n')
    assert place.load().settings.sandbox.visible == ("/data",)
    place.workspace('[sandbox]\nvisible = ["/data", "~/.ssh"]\n')
    assert place.load().settings.sandbox.visible == ("~/.gitconfig", "/data")


def test_in_a_real_sandbox_a_workspace_may_name_its_own_test_program(place: Place) -> None:
    place.workspace('[tests]\ncommand = ["make", "test"]\n[sandbox]\nnetwork = true\n')
    assert [row.key for row in place.load().withheld] == ["tests.command", "sandbox.network"]
    loaded = place.load(sandboxed=True)
    assert [row.key for row in loaded.withheld] == ["sandbox.network"]
    assert loaded.settings.tests.command == ("make", "test")


def test_the_rest_of_a_file_holds_while_a_part_waits(place: Place) -> None:
    place.workspace('[sandbox]\nnetwork = true\n[tests]\nargs = "-x -q"\n')
    loaded = place.load()
    assert loaded.settings.tests.args == ("-x", "-q")
    assert loaded.withheld[0].value is True


def test_trust_holds_for_these_values_and_this_folder_only(place: Place, tmp_path: Path) -> None:
    place.workspace("[budget]\ncost_usd = 50\n")
    store = TrustStore(trust_file(place.environ))
    store.decide(place.root, place.load().digest, trusted=True)
    assert place.load().settings.budget.cost_usd == 50
    place.workspace("[budget]\ncost_usd = 500\n")
    assert [row.value for row in place.load().withheld] == [500]
    place.workspace('[budget]\ncost_usd = 50\n[tests]\nargs = "-q"\n')
    assert place.load().settings.budget.cost_usd == 50, "a harmless change does not ask again"
    other = tmp_path / "other"
    other.mkdir()
    (other / "agent-lsp.toml").write_text("[budget]\ncost_usd = 50\n")
    assert load(other, environ=place.environ).withheld
    link = tmp_path / "link"
    link.symlink_to(place.root)
    assert not load(link, environ=place.environ).withheld
    store.forget(place.root)
    assert place.load().withheld


def test_a_no_is_remembered_and_keeps_the_values_back(place: Place) -> None:
    place.workspace("[sandbox]\nnetwork = true\n")
    TrustStore(trust_file(place.environ)).decide(place.root, place.load().digest, trusted=False)
    loaded = place.load()
    assert loaded.refused
    assert not loaded.settings.sandbox.network


@pytest.mark.parametrize("content", ["", "{", "[]", '{"X": 1}', '{"X": {"digest": "D", "trusted": "yes"}}', "\x00"])
def test_a_damaged_trust_file_trusts_nobody_and_is_mended_by_the_next_answer(place: Place, content: str) -> None:
    place.workspace("[sandbox]\nnetwork = true\n")
    mark = place.load().digest
    place.data.mkdir()
    path = trust_file(place.environ)
    path.write_text(content.replace("X", str(place.root)).replace("D", mark))
    assert place.load().withheld
    TrustStore(path).decide(place.root, mark, trusted=True)
    assert not place.load().withheld
    assert path.stat().st_mode & 0o077 == 0
    assert isinstance(json.loads(path.read_text()), dict)


def test_two_processes_that_answer_at_once_lose_no_answer(place: Place) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom agent_lsp.settings.trust import TrustStore\n"
        "for n in range(40): TrustStore(Path(sys.argv[1])).decide(Path(f'/{sys.argv[2]}{n}'), 'd', trusted=True)\n"
    )
    path = place.data / "trust.json"
    started = [subprocess.Popen([sys.executable, "-c", code, str(path), name]) for name in "ab"]
    assert [process.wait(60) for process in started] == [0, 0]
    assert len(json.loads(path.read_text())) == 80


def test_an_answer_that_cannot_be_kept_is_a_clear_error(place: Place) -> None:
    place.data.write_text("a file in the way")
    with pytest.raises(ConfigError, match="cannot be kept"):
        TrustStore(trust_file(place.environ)).decide(place.root, "d", trusted=True)


def test_the_users_folders_are_used_without_overrides(tmp_path: Path) -> None:
    code = "from agent_lsp.settings.layers import user_file; from agent_lsp.settings.trust import trust_file; "
    code += "print(user_file({})); print(trust_file({}))"
    environ = {"XDG_CONFIG_HOME": str(tmp_path / "c"), "XDG_DATA_HOME": str(tmp_path / "d"), "PATH": os.environ["PATH"]}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [
        str(tmp_path / "c/agent-lsp/config.toml"),
        str(tmp_path / "d/agent-lsp/trust.json"),
    ]


def test_the_early_look_at_the_log_agrees_with_the_loader_and_forgives(place: Place) -> None:
    def early(**environ: str) -> LogChoice:
        return log_choice(place.root, place.environ | environ)

    assert early() == LogChoice()
    place.user.write_text('[log]\nmax_mb = 0.5\nbackups = 2\nlevel = "debug"\n')
    place.workspace("[log]\nbackups = 3\n")
    assert early(AGENT_LSP_LOG__LEVEL="error") == LogChoice(500_000, 3, "error")
    loaded = place.load(AGENT_LSP_LOG__LEVEL="error").settings.log
    assert (loaded.max_mb, loaded.backups, loaded.level) == (0.5, 3, "error")
    place.workspace('[log]\nbackups = "many"\nmax_mb = true\nlevel = 7\n')
    assert early() == LogChoice()
    place.workspace("[log")
    assert early() == LogChoice(500_000, 2, "debug")
    assert early(AGENT_LSP_CONFIG="/nowhere") == LogChoice()


def test_the_early_look_does_not_load_pydantic(place: Place) -> None:
    code = "import sys; from agent_lsp.settings.log_choice import log_choice; print('pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


DOCS = Path(__file__).parents[2] / "docs" / "configuration.md"
COLUMNS = ("key", "type", "default", "environment", "workspace", "meaning")


def _documented() -> dict[str, dict[str, str]]:
    rows = {}
    for line in DOCS.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        if len(cells) == len(COLUMNS) and re.fullmatch(r"`(?:\w+\.)+\w+`", cells[0]):
            rows[cells[0].strip("`")] = dict(zip(COLUMNS, cells, strict=True))
    return rows


def test_the_docs_and_the_models_agree_both_ways() -> None:
    documented = _documented()
    assert list(documented) == list(catalogue())
    for key, row in documented.items():
        entry = catalogue()[key]
        assert row["type"] == entry.type_name
        assert row["default"].strip("`") == entry.default
        assert row["environment"] == f"`{entry.environment}`"
        assert row["workspace"] == entry.workspace
        assert row["meaning"] == entry.description


def test_the_examples_of_the_docs_load_as_they_stand(place: Place) -> None:
    examples = re.findall(r"```toml\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert len(examples) >= 2
    for example in examples:
        place.user.write_text(example)
        place.load()
    mentioned = set(re.findall(r"^(\w+) = ", examples[0], re.MULTILINE))
    assert mentioned == {key.rpartition(".")[2] for key in catalogue()}
    [client] = re.findall(r"```json\n(.*?)```", DOCS.read_text(), re.DOTALL)
    place.user.write_text("")
    assert place.load(json.loads(client)).sources
