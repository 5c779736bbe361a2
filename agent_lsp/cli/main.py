"""Owns the command line: parses it, loads what the chosen command needs, and gives its exit status."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

VERSION: Final = "0.1.0"

EXIT_USAGE: Final = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 1 ran but not acceptable, 2 usage or configuration, 130 cancelled."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(given)
    chosen = options.chosen
    try:
        return int(chosen(options))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="agent-lsp", description="A language server that turns a goal into a tested change."
    )
    parser.add_argument("--version", action="version", version=f"agent-lsp {VERSION}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    _serve_options(commands.add_parser("serve", help="the language server; stdout carries only the protocol"))

    run = commands.add_parser("run", help="one goal without an editor")
    run.add_argument("goal", metavar="GOAL", nargs="?", default="")
    run.add_argument(
        "--resume",
        metavar="RUN_ID",
        nargs="?",
        const="",
        help="go on with an interrupted run (default: the last)",
    )
    run.add_argument("--json", action="store_true", help="one JSON event per line")
    run.add_argument("--apply", action="store_true", help="write the change if its verdict allows it")
    run.add_argument(
        "--mode", choices=("plan", "auto"), default="auto", help="plan: ask before the plan is carried out"
    )
    run.add_argument("--test", action="append", default=[], metavar="ID", help="a goal test (may be repeated)")
    run.add_argument("--scope", action="append", default=[], metavar="PATH", help="bounds which tests are run")
    run.add_argument("--tier", choices=("tiny", "mid", "thinker"), help="how strong a model works on it")
    _root(run)
    run.set_defaults(chosen=_run)

    demo = commands.add_parser("demo", help="the main job on a sample project; no key, no network, no editor")
    demo.add_argument("--keep", type=Path, metavar="DIR", help="make the sample project in this empty folder")
    demo.add_argument("--svg", type=Path, metavar="FILE", help="write a picture of what was printed")
    demo.set_defaults(chosen=_demo)

    doctor = commands.add_parser("doctor", help="what works here, and what to do about the rest")
    doctor.add_argument("--json", action="store_true", help="the same as JSON")
    _root(doctor)
    doctor.set_defaults(chosen=_doctor)

    log = commands.add_parser("log", help="show, follow, or extract the error blocks of copilot_console.log")
    log.add_argument("--follow", action="store_true", help="go on as the log grows, until Ctrl-C")
    log.add_argument("--errors", action="store_true", help="only the error blocks")
    log.add_argument("--lines", type=int, default=200, metavar="N", help="how many lines (default 200)")
    _root(log)
    log.set_defaults(chosen=_log)

    _past_options(commands)
    _talk_and_models_options(commands)

    replay = commands.add_parser("replay", help="print a past run from the journal")
    replay.add_argument("run_id", nargs="?", metavar="RUN_ID", help="without it, the runs are listed")
    _root(replay)
    replay.set_defaults(chosen=_replay)

    runtime = commands.add_parser("runtime")
    _root(runtime)
    runtime.set_defaults(chosen=_runtime)
    return parser


def _past_options(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    checkpoints = commands.add_parser("checkpoints", help="what was applied here and can be taken back")
    checkpoints.add_argument("checkpoint_id", nargs="?", metavar="ID", help="shows what rolling it back would change")
    _root(checkpoints)
    checkpoints.set_defaults(chosen=_checkpoints)

    rollback = commands.add_parser("rollback", help="take an applied change back, or a rollback")
    rollback.add_argument("checkpoint_id", metavar="ID")
    _root(rollback)
    rollback.set_defaults(chosen=_rollback)


def _talk_and_models_options(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    chat = commands.add_parser("chat", help="goals, questions and corrections as one talk, without an editor")
    _root(chat)
    chat.set_defaults(chosen=_chat)

    models = commands.add_parser("models", help="which endpoints answer for which work, and whether they are there")
    models.add_argument("--json", action="store_true", help="the same as JSON")
    models.add_argument(
        "--pull", nargs="?", const="", metavar="NAME", help="have Ollama load the model of an endpoint (default: all)"
    )
    _root(models)
    models.set_defaults(chosen=_models)


def _serve_options(serve: argparse.ArgumentParser) -> None:
    line = serve.add_mutually_exclusive_group()
    line.add_argument("--stdio", action="store_true", help="speak over stdin and stdout (the default)")
    line.add_argument("--tcp", metavar="HOST:PORT", help="serve every client that connects; port 0 chooses one")
    line.add_argument("--ws", metavar="HOST:PORT", help="the same over WebSocket, one message per frame of text")
    serve.add_argument("--allow-remote", action="store_true", help="listen where other machines can connect")
    serve.add_argument(
        "--allow-origin", action="append", default=[], metavar="ORIGIN", help="a web page that may open a WebSocket"
    )
    serve.set_defaults(chosen=_serve)


def _root(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", type=Path, default=Path(), metavar="DIR", help="the workspace (default: here)")


def _serve(options: argparse.Namespace) -> int:
    from agent_lsp.app.edge import serve, serve_clients

    if options.tcp is None and options.ws is None:
        return serve(VERSION)
    from agent_lsp.server.address import AddressError, Listening, parse_address

    try:
        host, port = parse_address(options.tcp or options.ws or "", allow_remote=options.allow_remote)
    except AddressError as error:
        print(f"agent-lsp serve: {error}", file=sys.stderr)
        return EXIT_USAGE
    kind: Literal["tcp", "ws"] = "ws" if options.tcp is None else "tcp"
    return serve_clients(VERSION, Listening(kind, host, port, options.allow_remote, tuple(options.allow_origin)))


def _run(options: argparse.Namespace) -> int:
    from agent_lsp.app.terminal import TerminalRequest, run_in_terminal

    return run_in_terminal(
        TerminalRequest(
            root=options.root.resolve(),
            goal=options.goal,
            resume=options.resume,
            json=options.json,
            apply=options.apply,
            mode=options.mode,
            tests=tuple(options.test),
            scope=tuple(options.scope),
            tier=options.tier,
        )
    )


def _demo(options: argparse.Namespace) -> int:
    from agent_lsp.app.demo.main_job import show_main_job

    keep: Path | None = options.keep
    if keep is not None:
        keep = keep.resolve()
        try:
            keep.mkdir(parents=True, exist_ok=True)
            full = any(keep.iterdir())
        except OSError as error:
            print(f"agent-lsp demo: {keep} cannot be used: {error.strerror}; name an empty folder", file=sys.stderr)
            return EXIT_USAGE
        if full:
            print(f"agent-lsp demo: {keep} is not empty; name an empty or new folder", file=sys.stderr)
            return EXIT_USAGE
    return show_main_job(keep, options.svg)


def _doctor(options: argparse.Namespace) -> int:
    from agent_lsp.app.doctor import report

    return report(options.root.resolve(), as_json=options.json)


def _chat(options: argparse.Namespace) -> int:
    from agent_lsp.app.chat import chat_in_terminal

    return chat_in_terminal(options.root.resolve())


def _models(options: argparse.Namespace) -> int:
    from agent_lsp.app.model_list import show_models

    return show_models(options.root.resolve(), as_json=options.json, pull=options.pull)


def _log(options: argparse.Namespace) -> int:
    from agent_lsp.app.past import show_log

    return show_log(options.root.resolve(), lines=options.lines, follow_it=options.follow, errors=options.errors)


def _checkpoints(options: argparse.Namespace) -> int:
    from agent_lsp.app.taking_back import show_checkpoints

    return show_checkpoints(options.root.resolve(), options.checkpoint_id)


def _rollback(options: argparse.Namespace) -> int:
    from agent_lsp.app.taking_back import roll_back

    return roll_back(options.root.resolve(), options.checkpoint_id)


def _replay(options: argparse.Namespace) -> int:
    from agent_lsp.app.past import replay

    return replay(options.root.resolve(), options.run_id)


def _runtime(options: argparse.Namespace) -> int:
    import gc

    gc.disable()  # importing makes no garbage, only work for the collector; serving turns it on again
    from agent_lsp.app.runtime_process import serve_runtime

    return serve_runtime(options.root.resolve())
