"""Start and end of the server as a process: signals, crashes, ports."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from tests.live.client import PATIENCE, ask, eventually, queue_stats
from tests.live.harness import COMMAND, READY_SECONDS, STOP_SECONDS, LiveServer, Log, assert_gone, clean_environment

SLOW_ECHO = ("--model-type", "echo", "--model-path", "delay=0.05")
LONG = "word " * 2000
"""At SLOW_ECHO's speed this takes longer than any test waits."""

HAS_IPV6 = any(":" in address.address for address in psutil.net_if_addrs().get("lo", []))
needs_ipv6 = pytest.mark.skipif(not HAS_IPV6, reason="the machine has no IPv6")

Launch = Callable[..., LiveServer]


@contextmanager
def stream(url: str, text: str = LONG) -> Iterator[Iterator[str]]:
    """Stream an answer. Enters the block after the first word; yields the data of the following events."""
    body = {"model": "echo", "messages": [{"role": "user", "content": text}], "stream": True}
    with httpx.stream("POST", f"{url}/v1/chat/completions", json=body, timeout=30) as response:
        assert response.status_code == 200
        data = (line.removeprefix("data: ") for line in response.iter_lines() if line.startswith("data: "))
        while not json.loads(next(data))["choices"][0]["delta"].get("content"):
            pass
        yield data


def refused(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Result of a launch that must end by itself."""
    return subprocess.run(
        [str(COMMAND), "launch", *arguments],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=READY_SECONDS,
    )


def test_an_answer_longer_than_the_grace_period_ends_with_an_error(launch: Launch) -> None:
    server = launch(*SLOW_ECHO, "--grace-period", "0.5")

    with stream(server.url) as data:
        server.process.send_signal(signal.SIGTERM)
        *_, error, done = data

    assert json.loads(error)["error"]["code"] == "model_not_ready"
    assert done == "[DONE]"
    assert server.process.wait(STOP_SECONDS) == 0


def test_a_second_signal_ends_the_grace_period(launch: Launch) -> None:
    server = launch(*SLOW_ECHO, "--grace-period", "60")

    with stream(server.url) as data:
        server.process.send_signal(signal.SIGTERM)
        next(data)
        server.process.send_signal(signal.SIGTERM)
        *_, done = data

    assert done == "[DONE]"
    assert server.process.wait(STOP_SECONDS) == 0


def test_the_command_line_of_other_servers_works(launch: Launch, tmp_path: Path) -> None:
    file = tmp_path / "logs" / "app.log"
    line = "--model-path delay=0 --model-type echo --context-length 8192 --max-concurrency 2 --queue-timeout 300"
    theirs = f"--queue-size 100 --mlx-warmup true --max-tokens 3 --temp 0.7 --log-level INFO --log-file {file}"
    server = launch(*line.split(), *theirs.split(), "--pipeline", "--prompt-concurrency=8")

    with stream(server.url, "one two three four five") as data:
        finish = [json.loads(event)["choices"] for event in data if event != "[DONE]"]

    assert finish[-1][0]["finish_reason"] == "length"
    noted = server.log.wait_for("options without effect.*")[0]
    assert "--prompt-concurrency has no effect" in noted
    assert "--pipeline" not in noted  # one process, as with mlx_lm.server where no launcher runs it
    server.log.wait_for("POST /v1/chat/completions 200")
    eventually(lambda: "POST /v1/chat/completions 200" in file.read_text())  # written after the console's line
    assert "three four" not in file.read_text()


def test_closing_the_terminal_ends_the_server(launch: Launch) -> None:
    server = launch("--model-type", "echo")

    server.process.send_signal(signal.SIGHUP)

    assert server.process.wait(STOP_SECONDS) == 0


def test_under_nohup_the_server_outlives_its_terminal(launch: Launch) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # `nohup` sets this, and the server inherits it
    try:
        server = launch("--model-type", "echo")
    finally:
        signal.signal(signal.SIGHUP, before)

    for process in [*server.descendants(), server.process]:
        process.send_signal(signal.SIGHUP)

    with stream(server.url) as data:
        assert [*data][-1] == "[DONE]"


def test_without_a_terminal_the_models_of_the_file_are_replaced(launch: Launch, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("models:\n- {name: echo, type: echo, path: delay=0.05}\n- {name: stays, type: echo}\n")
    server = launch("--config", str(file), terminal=False)

    def hang_up(text: str) -> None:
        file.write_text(text)
        for process in [*server.descendants(), server.process]:  # a manager of services may send it to all
            process.send_signal(signal.SIGHUP)

    def models() -> list[str]:
        return [model["id"] for model in httpx.get(f"{server.url}/v1/models", timeout=PATIENCE).json()["data"]]

    def ask(model: str) -> int:
        body = {"model": model, "messages": [{"role": "user", "content": "one two"}]}
        return httpx.post(f"{server.url}/v1/chat/completions", json=body, timeout=PATIENCE).status_code

    with stream(server.url, "word " * 60) as data:
        hang_up("models:\n- {name: stays, type: echo}\n- {name: new, type: echo, tll: 5}\n")
        server.log.wait_for(r"config\.yaml:3: models\[1\]\.tll is not an option; did you mean 'ttl'\?")
        assert models() == ["echo", "stays"]

        hang_up("grace_period: 1\nmodels:\n- {name: stays, type: echo, queue_size: 7}\n- {name: new, type: echo}\n")
        server.log.wait_for("options that change with the next start.*--grace-period")
        server.log.wait_for("models reloaded")
        assert models() == ["stays", "new"]
        assert [ask(model) for model in ("stays", "new", "echo")] == [200, 200, 404]
        events = list(data)

    assert events[-1] == "[DONE]"
    assert json.loads(events[-2])["choices"][0]["finish_reason"] == "stop"
    server.log.wait_for("model is no longer served.*echo")


def test_a_port_in_use_gives_one_line_and_exit_status_1() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = refused("--port", str(port), "--model-path", "nobody/loads-this")

    assert result.returncode == 1
    assert result.stderr == (
        f"Error: port {port} of 127.0.0.1 is in use; "
        "stop the program that uses it, or choose another port with --port\n"
    )


def test_two_servers_never_share_a_port(echo_server: LiveServer) -> None:
    result = refused("--model-type", "echo", "--port", echo_server.url.rpartition(":")[2])

    assert result.returncode == 1
    assert "in use" in result.stderr


def test_an_address_of_another_machine_is_refused() -> None:
    result = refused("--model-type", "echo", "--host", "192.0.2.1", "--port", "0")

    assert result.returncode == 1
    assert result.stderr == "Error: cannot listen on '192.0.2.1': it is not an address of this machine\n"


def test_a_port_is_free_immediately_after_its_server_ended(launch: Launch) -> None:
    first = launch("--model-type", "echo")
    with stream(first.url, "a b c") as data:
        list(data)
    port = first.url.rpartition(":")[2]
    assert first.stop() == 0

    assert launch("--model-type", "echo", "--port", port).url == first.url


def test_a_bad_value_gives_exit_status_2_before_any_process_starts() -> None:
    result = refused("--model-type", "echo", "--max-concurrency", "many")

    assert result.returncode == 2
    assert result.stderr == "Error: --max-concurrency must be a whole number from 1 to 4096, not 'many'\n"


def test_missing_weights_give_one_line_and_exit_status_1(tmp_path: Path) -> None:
    result = refused("--port", "0", "--model-path", str(tmp_path))

    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "not a model folder" in result.stderr


def test_a_model_that_cannot_be_loaded_is_named_and_gives_exit_status_1(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "no-such-family"}')

    result = refused("--port", "0", "--model-path", str(tmp_path), "--served-model-name", "broken")

    assert result.returncode == 1
    assert "ready at" not in result.stdout
    assert "model=broken" in result.stderr
    assert "weights are missing" in result.stderr


@needs_ipv6
def test_localhost_is_served_on_both_loopback_addresses_until_the_end(launch: Launch) -> None:
    server = launch(*SLOW_ECHO)
    port = server.url.rpartition(":")[2]
    assert server.url == f"http://127.0.0.1:{port}"
    beside = ask(f"http://[::1]:{port}", method="GET", path="/health", headers={"host": f"localhost:{port}"})
    assert beside.json()["status"] == "ok"

    with stream(f"http://[::1]:{port}"):
        assert queue_stats(server.url)["active"] == 1
    eventually(lambda: queue_stats(server.url)["active"] == 0)  # a client that leaves frees its place

    with (
        stream(f"http://[::1]:{port}", "word " * 30) as second,
        stream(f"http://127.0.0.1:{port}", "word " * 10) as first,
    ):
        server.process.send_signal(signal.SIGTERM)
        assert [*first][-1] == [*second][-1] == "[DONE]"
    assert server.process.wait(STOP_SECONDS) == 0


@needs_ipv6
def test_an_ipv6_address_is_served_and_all_of_them_include_ipv4(launch: Launch) -> None:
    for host in ("::1", "::"):
        server = launch("--model-type", "echo", "--host", host)
        assert server.url.startswith("http://[::1]:")
        assert httpx.get(f"{server.url}/health", timeout=PATIENCE).json()["status"] == "ok"
    beside = ask(f"http://127.0.0.1:{server.url.rpartition(':')[2]}", method="GET", path="/health")
    assert beside.json()["status"] == "ok"


@needs_ipv6
def test_a_port_in_use_on_the_second_address_only_is_an_error() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken:
        port = taken.getsockname()[1]
        result = refused("--model-type", "echo", "--port", str(port))

    assert result.returncode == 1
    assert result.stderr.startswith(f"Error: port {port} of ::1 is in use; ")


def test_the_printed_curl_line_works(launch: Launch) -> None:
    server = launch("--model-type", "echo", "--served-model-name", 'it\'s "quoted"', "--api-key", "s3cret")
    curl = server.log.wait_for(r"^\s+(curl .*)$")[1]

    result = subprocess.run(
        ["sh", "-c", curl + " --silent --show-error"],
        env=clean_environment(API_KEY="s3cret"), capture_output=True, text=True, timeout=30,
    )  # fmt: skip

    answer = json.loads(result.stdout)
    assert answer["model"] == 'it\'s "quoted"'
    assert answer["choices"][0]["message"]["content"] == "What is the capital of France?"
    assert "s3cret" not in server.log.text


def test_no_other_process_gets_the_key(launch: Launch, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("s3cret-of-the-file\n")
    environment = {"API_KEY": "s3cret-of-the-environment"}
    server = launch("--model-type", "echo", "--api-key-file", str(keys), env=environment)

    for key in ("s3cret-of-the-file", "s3cret-of-the-environment"):
        headers = {"Authorization": f"Bearer {key}"}
        assert ask(server.url, method="GET", path="/v1/models", headers=headers).status_code == 200
    assert httpx.get(f"{server.url}/v1/models", timeout=PATIENCE).status_code == 401
    children = psutil.Process(server.process.pid).children(recursive=True)
    assert children
    for process in (psutil.Process(server.process.pid), *children):
        assert "s3cret" not in " ".join(process.cmdline())
    for process in children:
        assert "s3cret" not in str(process.environ())


def test_with_json_logs_every_line_is_json(launch: Launch) -> None:
    server = launch("--model-type", "echo", "--log-format", "json")
    httpx.get(f"{server.url}/v1/models", timeout=PATIENCE)
    server.stop()

    assert server.log.wait_for_end(STOP_SECONDS)
    lines = [json.loads(line) for line in server.log.text.splitlines()]
    assert {"ready", "request"} <= {line["message"] for line in lines}


def test_the_granian_command_is_configured_by_the_environment() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [
            str(Path(sys.executable).with_name("granian")),
            *("--interface", "asgi", "--factory", "server.app:create_app", "--port", str(port)),
        ],
        env=clean_environment(MODEL_TYPE="echo", SERVED_MODEL_NAME="from-env"),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    log = Log(process)
    try:
        log.wait_for("Spawning worker", 60)
        family = psutil.Process(process.pid).children(recursive=True)
        transport = httpx.HTTPTransport(retries=8)
        with httpx.Client(transport=transport, base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as client:
            assert [model["id"] for model in client.get("/v1/models").json()["data"]] == ["from-env"]
    finally:
        process.kill()
        process.wait()

    assert_gone(family)
