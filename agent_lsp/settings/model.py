"""Owns the settings: sections, keys, types, defaults and what each means. docs/configuration.md mirrors this file."""

import shlex
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from agent_lsp.domain.network_hosts import HostList
from agent_lsp.domain.task import Budget

DEFAULT_MODEL: Final = "claude-sonnet-5-5"
DEFAULT_KEY_NAME: Final = "ANTHROPIC_API_KEY"
UNLIMITED: Final = "unlimited"
"""What takes a limit away: files have no null."""

_BUDGET: Final = Budget()


def _words(value: Any) -> Any:
    return tuple(shlex.split(value)) if isinstance(value, str) else value


def no_limit(value: Any) -> Any:
    """`unlimited` as None."""
    return None if value == UNLIMITED else value


def _no_text(value: Any) -> Any:
    return None if value == "" else value


Words = Annotated[tuple[str, ...], BeforeValidator(_words)]
"""A list of strings, or one string that is split as a shell splits it."""


def _hosts(value: tuple[str, ...]) -> tuple[str, ...]:
    HostList.read(value)
    return value


Hosts = Annotated[Words, AfterValidator(_hosts)]
"""Entries that `HostList` can read."""

IntLimit = Annotated[Annotated[int, Field(ge=1)] | None, BeforeValidator(no_limit)]
FloatLimit = Annotated[Annotated[float, Field(gt=0, allow_inf_nan=False)] | None, BeforeValidator(no_limit)]
Text = Annotated[str | None, BeforeValidator(_no_text)]
"""A string; the empty one counts as not set."""

Address = Annotated[Annotated[str, Field(pattern=r"^https?://[^\s/]+\S*$")] | None, BeforeValidator(_no_text)]
Seconds = Annotated[float, Field(gt=0, le=7 * 24 * 3600, allow_inf_nan=False)]
Price = Annotated[float, Field(ge=0, allow_inf_nan=False)] | None


class Section(BaseModel):
    """A table of the configuration file."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Provider = Literal["anthropic", "openai", "ollama", "editor", "recorded"]
Worker = Provider | Literal["embedded"]
"""Who can be at work: a language model behind one of these, or the repair engine."""


class EndpointSettings(Section):
    """`[endpoints.NAME]`: one more endpoint, for the tiers to name."""

    provider: Provider = Field(
        default="anthropic",
        description="Whose wire format it speaks: `anthropic`, `openai` (OpenAI's chat completions: OpenAI, vLLM, "
        "llama.cpp, LM Studio), `ollama`; a model that the `editor` lends, or answers that were `recorded` before.",
    )
    name: Annotated[str, Field(min_length=1)] = Field(
        default=DEFAULT_MODEL,
        description="Name of the language model; of one that the editor lends its id, name or family.",
    )
    base_url: Address = Field(
        default=None,
        description="Address of the endpoint; without it ANTHROPIC_BASE_URL (OPENAI_BASE_URL, OLLAMA_HOST), else the "
        "provider's own.",
    )
    api_key_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] = Field(
        default=DEFAULT_KEY_NAME,
        description="Name of the environment variable that holds the key (OPENAI_API_KEY for `openai`, where nothing "
        "else is said). The key is never a setting.",
    )
    api_key_keyring: Text = Field(
        default=None,
        description="Entry of the system's keyring that holds the key where the environment does not, as "
        "`service/user`; needs the package `keyring`.",
    )
    file: Text = Field(
        default=None, description="Of `recorded`: the file with the answers, absolute or relative to the root."
    )
    record: Text = Field(
        default=None, description="File to which every answer is added, so that `recorded` can give it again."
    )
    max_tokens: Annotated[int, Field(ge=256, le=1_000_000)] = Field(
        default=16_000, description="Longest answer, in tokens."
    )
    context_tokens: Annotated[int, Field(ge=256, le=100_000_000)] = Field(
        default=200_000,
        description="Tokens that the model takes with one request; a conversation is made shorter before it has "
        "them. Set it for a model of your own with a smaller context.",
    )
    request_timeout_s: Seconds = Field(default=600.0, description="Longest time for one whole answer.")
    stall_timeout_s: Seconds = Field(
        default=60.0, description="Longest silence within an answer before it counts as broken."
    )
    input_usd_per_mtok: Price = Field(
        default=None, description="Price of a million input tokens, where the built-in table is wrong."
    )
    output_usd_per_mtok: Price = Field(default=None, description="Price of a million output tokens.")
    cache_read_usd_per_mtok: Price = Field(default=None, description="Price of a million tokens read from the cache.")
    cache_write_usd_per_mtok: Price = Field(default=None, description="Price of a million tokens written to the cache.")


class ModelSettings(EndpointSettings):
    """`[model]`: who answers; the endpoint `default` of the tiers."""

    provider: Literal["auto", "anthropic", "openai", "ollama", "editor", "recorded", "embedded"] = Field(  # type: ignore[assignment]
        default="auto",
        description="`auto` is `anthropic` where a key or an address is there, else a model that the `editor` lends "
        "(such as Copilot in VS Code), else `embedded`. `openai` is any server of OpenAI's chat completions: OpenAI, "
        "vLLM, llama.cpp, LM Studio; `ollama` speaks Ollama's own; `recorded` gives answers that were recorded before.",
    )
    retries: Annotated[int, Field(ge=0, le=100)] = Field(
        default=6, description="Further tries of one request when its endpoints are down, busy, or break off."
    )
    probe_every_s: FloatLimit = Field(
        default=300.0,
        description="How often the endpoints are asked whether they are there while a run is at work; `unlimited`: "
        "never.",
    )


_Wish = Literal["auto", "tiny", "mid", "thinker"]
_BY_RULE: Final = "`auto`: by the rules of docs/models.md."


class TierSettings(Section):
    """`[tiers]`: which endpoints answer for which work, first to last."""

    tiny: Words = Field(
        default=(),
        description="Endpoints for what people say to a run: corrections are told from questions, and questions "
        "answered from its journal; then those of `mid`.",
    )
    mid: Words = Field(
        default=("default",),
        description="Endpoints for everything else: `default` is [model], another name is [endpoints.NAME], and "
        "`anthropic:claude-opus-5-5` names provider and model.",
    )
    thinker: Words = Field(
        default=(), description="Endpoints for hard plans and for steps that failed twice; then those of `mid`."
    )
    planning: _Wish = Field(default="auto", description=f"Tier that makes plans. {_BY_RULE}")
    execution: _Wish = Field(default="auto", description=f"Tier that carries out steps. {_BY_RULE}")
    reflection: _Wish = Field(default="auto", description=f"Tier that judges what a step left. {_BY_RULE}")
    chat: _Wish = Field(default="auto", description=f"Tier that answers questions about a run. {_BY_RULE}")


class BudgetSettings(Section):
    """`[budget]`: where a run stops."""

    tokens: IntLimit = Field(default=_BUDGET.tokens, description="Tokens of one run, cached ones included.")
    cost_usd: FloatLimit = Field(default=_BUDGET.cost_usd, description="Money of one run, in US dollars.")
    wall_clock_s: FloatLimit = Field(default=_BUDGET.wall_clock_s, description="Time of one run.")
    turns: IntLimit = Field(default=_BUDGET.turns, description="Answers of the model in one run.")
    tries: Annotated[int, Field(ge=1, le=100)] = Field(
        default=_BUDGET.tries, description="Validations of one run before a change that fails its tests is given up."
    )

    day_tokens: IntLimit = Field(
        default=None, description="Tokens of one day, of all runs in all your workspaces together."
    )
    day_cost_usd: FloatLimit = Field(default=None, description="Money of one day, in US dollars, of all together.")
    day_turns: IntLimit = Field(default=None, description="Answers of models in one day, of all together.")
    day_wall_clock_s: FloatLimit = Field(
        default=None, description="Time that models took for their answers in one day, of all together."
    )

    def to_domain(self) -> Budget:
        """The limits as a run takes them."""
        return Budget(self.tokens, self.cost_usd, self.wall_clock_s, self.turns, self.tries)

    def of_a_day(self) -> Budget:
        """The limits of a day; `tries` is of no meaning there."""
        return Budget(self.day_tokens, self.day_cost_usd, self.day_wall_clock_s, self.day_turns)


PRIVATE: Final = (
    *(".env", ".env.*", "!.env.example", "!.env.sample", "!.env.template", "!.env.dist"),
    *("*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx", "*.ppk"),
    *("id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", ".netrc", "_netrc", ".pgpass", ".pypirc", ".npmrc", ".htpasswd"),
    *(".ssh/", ".aws/", ".gnupg/", ".docker/config.json", ".kube/config"),
)


class ContextSettings(Section):
    """`[context]`: what a language model is shown."""

    private: Words = Field(
        default=PRIVATE,
        description="Files that no model ever sees, as patterns of a .gitignore. What the workspace's file names, and "
        "a file `.agentignore` at its root, comes on top.",
    )
    map_tokens: Annotated[int, Field(ge=0, le=100_000)] = Field(
        default=2_000,
        description="Tokens of the map of the workspace (files and definitions that matter to the goal, ranked) that "
        "a model gets with it; 0: none.",
    )


class SuiteSettings(Section):
    """`[tests]`: how the workspace's tests are run."""

    runner: Literal["auto", "pytest", "unittest", "node", "vitest", "command"] = Field(
        default="auto", description="Which runner; `auto` looks."
    )
    interpreter: Text = Field(default=None, description="Python that runs the tests, absolute or relative to the root.")
    command: Words = Field(
        default=(),
        description="Program and arguments of the runner `command`; `{junit}`, `{tap}`, `{tests}` are filled in.",
    )
    args: Words = Field(default=(), description="Further arguments of the runner.")
    timeout_s: Seconds = Field(default=600.0, description="Longest time of one run of the tests.")
    impact: bool = Field(
        default=True,
        description="Whether a large suite's affected tests give a first verdict, before the whole suite has run.",
    )
    staged_over_s: Seconds = Field(
        default=60.0, description="Time from which a suite counts as large; a smaller one is always run whole."
    )
    staged_budget_s: Seconds = Field(
        default=120.0, description="Time that the affected tests of a large suite may take for the first verdict."
    )
    baselines_mb: Annotated[float, Field(gt=0, le=100_000, allow_inf_nan=False)] = Field(
        default=100.0, description="Megabytes in the cache for kept runs of unchanged tests."
    )
    new_findings: Literal["tell", "block", "off"] = Field(
        default="tell",
        description="What becomes of faults that the project's own ruff, mypy or pyright newly find: told among the "
        "reasons, or a change that has some may not be applied by itself.",
    )
    mutations: Annotated[int, Field(ge=0, le=100)] = Field(
        default=3,
        description="How many small faults are put into the changed lines of a proven change, in the background, to "
        "see whether its tests notice them; 0: none.",
    )
    warm: Literal["auto", "off"] = Field(
        default="auto",
        description="Whether the many small runs of a search may be forked from a process that has loaded pytest "
        "before, where that was seen to make no difference. Verdicts rest on cold runs.",
    )


class SandboxSettings(Section):
    """`[sandbox]`: what surrounds everything that runs."""

    kind: Literal["auto", "overlay", "bubblewrap", "clone"] = Field(
        default="auto", description="How the copy of the workspace is made; `clone` isolates least."
    )
    network: bool = Field(default=False, description="Whether commands and tests may use the network.")
    network_hosts: Hosts = Field(
        default=(),
        description="Hosts that commands and tests may reach through a proxy while the network is off: "
        "`index.example.net`, `*.example.org`, `registry.example.org:8443`. Without a port: 80 and 443.",
    )
    commands_without_sandbox: bool = Field(
        default=False, description="Whether the model's commands may run where there is no sandbox."
    )
    tests_without_sandbox: Literal["tell", "refuse"] = Field(
        default="tell",
        description="What becomes of tests where nothing isolates them, not even Landlock: they run and the verdict "
        "says so, or they do not run.",
    )
    visible: Words = Field(
        default=(),
        description="Paths that commands and tests may read besides, such as `~/.gitconfig` or a folder of data; "
        "relative ones start at the root.",
    )


class ProposalSettings(Section):
    """`[proposal]`: what is offered and when it is tested again."""

    revalidate_after_s: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)] = Field(
        default=1.0, description="Pause in typing after which a stale proposal is rebased and tested again."
    )
    allow_unproven: bool = Field(
        default=False, description="Whether a change may be applied that its tests did not pass; each time is recorded."
    )
    checkpoints: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=50, description="Applied changes and rollbacks that are kept so that they can be taken back."
    )
    checkpoints_mb: Annotated[float, Field(gt=0, le=100_000, allow_inf_nan=False)] = Field(
        default=256.0, description="Megabytes that these may take; the last one is kept whatever its size."
    )


class RepairSettings(Section):
    """`[repair]`: the embedded search that works without a language model."""

    tries: Annotated[int, Field(ge=1, le=1_000_000)] = Field(default=5000, description="Edits that are tried at most.")
    wall_clock_s: Seconds = Field(default=120.0, description="Longest search.")


class LogSettings(Section):
    """`[log]`: `copilot_console.log`."""

    max_mb: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] = Field(
        default=5.0, description="Size in megabytes at which the log is rotated."
    )
    backups: Annotated[int, Field(ge=1, le=99)] = Field(default=5, description="Rotated files that are kept.")
    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Lines below this level are left out."
    )


class CacheSettings(Section):
    """`[cache]`: what is kept in your cache folder to be quick, of all workspaces together."""

    max_gb: FloatLimit = Field(
        default=10.0,
        description="Gigabytes of all workspaces together; what was unused longest goes first, what is in use stays.",
    )


class RuntimeSettings(Section):
    """`[runtime]`: the process that does the work."""

    idle_exit_s: Seconds = Field(
        default=600.0, description="Idle time after which the runtime ends; the next run starts it."
    )


class RunSettings(Section):
    """`[runs]`: how many work at a time, and what becomes of those that were at work when their process ended."""

    resume: Literal["auto", "ask", "never"] = Field(
        default="auto",
        description="The next start goes on with them (auto), shows them paused (ask), or ends them (never).",
    )
    parallel: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=4, description="Runs of a workspace that work at the same time; the others wait in a queue."
    )
    parallel_machine: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=8,
        description="Runs of all your workspaces together that work at the same time on this machine; workspaces take "
        "turns.",
    )
    waiting: Annotated[int, Field(ge=0, le=100_000)] = Field(
        default=50, description="Runs of a workspace that may wait in its queue; one more is refused."
    )


class Settings(Section):
    """Everything that can be set, whole and checked."""

    model: ModelSettings = ModelSettings()
    endpoints: Mapping[str, EndpointSettings] = {}
    tiers: TierSettings = TierSettings()
    budget: BudgetSettings = BudgetSettings()
    context: ContextSettings = ContextSettings()
    tests: SuiteSettings = SuiteSettings()
    sandbox: SandboxSettings = SandboxSettings()
    proposal: ProposalSettings = ProposalSettings()
    repair: RepairSettings = RepairSettings()
    log: LogSettings = LogSettings()
    cache: CacheSettings = CacheSettings()
    runtime: RuntimeSettings = RuntimeSettings()
    runs: RunSettings = RunSettings()
