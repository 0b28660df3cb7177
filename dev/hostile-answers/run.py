#!/usr/bin/env python3
"""Calls chpg's reads through a proxy that breaks the emulator's answers.

run.py EMULATOR_URL SEED CALLS [ONLY]

Each call must end with rows or with a SQLSTATE that chpg may give for an answer that is wrong, within
its time, and its session must go on: every so many calls, one whose answers are left alone must give
what it gave at first. A call's number and the seed decide what happens to its answers, whatever else
is called: ONLY is the number of one call, to see what it meets.

Works on the database of the environment (PGHOST and so on).
"""

import base64
import collections
import http.client
import http.server
import json
import os
import random
import re
import select
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request

import mutations

HERE = os.path.dirname(os.path.abspath(__file__))
WATCHDOG = 120          # seconds for a statement that statement_timeout does not end
CLEAN_EVERY = 40
MAX_FAILURES = 20

# What an answer may cause: connection and protocol errors, what response.c makes of a status, and
# conversions. Internal errors and resource trouble of PostgreSQL's own are not among them.
ALLOWED = re.compile(r"^(08001|08006|08P01|28000|42501|42704|42712|55006|53400|54000|58000|22\w{3})$")

# The emulator's clock stands still, so that all answers are the same in each run.
NOW = "2026-06-01T12:00:00.000Z"
VARIABLES = {
    "service": "pg7myrd1j06p3gx4zrm2ze8qz6",
    "start": "2026-06-01 10:00Z",
    "middle": "2026-06-01 11:00Z",
    "stop": "2026-06-01 12:00Z",
}


class State:
    """What the proxy does to the answers of the call that is under way."""

    def __init__(self, seed):
        self.lock = threading.Lock()
        self.seed = seed
        self.begin(None)

    def begin(self, call):
        with self.lock:
            self.call = call
            self.seen = collections.Counter()
            self.done = []

    def plan(self, target):
        """A random.Random for this request, or None to leave its answer alone."""
        with self.lock:
            if self.call is None:
                return None
            self.seen[target] += 1
            chance = random.Random(f"{self.seed} {self.call} {target} {self.seen[target]}")
        return chance if chance.random() < 0.6 else None

    def note(self, target, done):
        with self.lock:
            self.done.append(f"{target}: {', '.join(done)}")


def make_handler(state, upstream):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # A flood is written while chpg may have left already.
        timeout = 60

        def log_message(self, *_):
            pass

        def ask(self):
            """The emulator's answer. If there is none, that is no mutation, and ends the run."""
            try:
                connection = http.client.HTTPConnection(upstream, timeout=WATCHDOG)
                connection.request("GET", self.path, headers={
                    name: value for name, value in self.headers.items()
                    if name.lower() in ("authorization", "accept", "user-agent")})
                response = connection.getresponse()
                body = response.read()
                connection.close()
            except Exception as error:
                print(f"not ok - the emulator does not answer: {error!r}", flush=True)
                os._exit(1)
            headers = [(n.encode("latin-1"), v.encode("latin-1")) for n, v in response.getheaders()
                       if n.lower() not in ("content-length", "transfer-encoding", "connection")]
            return mutations.Answer(response.status, headers, body)

        def do_GET(self):
            answer = self.ask()
            chance = state.plan(self.path)
            if chance:
                state.note(self.path, mutations.mutate(answer, chance))
            try:
                self.send(answer)
            except OSError:
                self.close_connection = True

        def send(self, answer):
            self.close_connection = answer.close or answer.raw is not None
            time.sleep(answer.delay)
            if answer.raw is not None:
                self.wfile.write(answer.raw)
                return
            head = [answer.status_line] + [n + b": " + v for n, v in answer.headers]
            body = answer.body
            if answer.chunks is not None:
                head.append(b"Transfer-Encoding: chunked")
                body = answer.chunks
            elif not answer.delimited:
                length = answer.length if answer.length is not None else b"%d" % len(body)
                head.append(b"Content-Length: " + length)
            self.wfile.write(b"\r\n".join(head) + b"\r\n\r\n")
            if answer.drip:
                self.wfile.write(body[:-20])
                for byte in body[-20:]:
                    time.sleep(answer.drip)
                    self.wfile.write(bytes([byte]))
            else:
                self.wfile.write(body)

        do_POST = do_PATCH = do_DELETE = lambda self: self.send_error(501)

    return Handler


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class Session:
    """A psql that stays."""

    def __init__(self):
        self.psql = subprocess.Popen(
            ["psql", "-X", "-q", "-A", "-t"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, bufsize=0)
        self.buffer = b""
        self.number = 0
        for name, value in VARIABLES.items():
            self.run(f"\\set {name} '{value}'")
        self.run("\\set VERBOSITY verbose")

    def run(self, sql):
        """What it printed; None if psql ended, or does not answer any more."""
        self.number += 1
        mark = f"-- end {self.number}\n".encode()
        deadline = time.monotonic() + WATCHDOG
        try:
            self.psql.stdin.write(f"{sql}\n\\echo '-- end {self.number}'\n".encode())
        except OSError:
            return None
        while mark not in self.buffer:
            ready, _, _ = select.select([self.psql.stdout], [], [], max(0, deadline - time.monotonic()))
            some = os.read(self.psql.stdout.fileno(), 65536) if ready else b""
            if not some:
                return None
            self.buffer += some
        printed, self.buffer = self.buffer.split(mark, 1)
        return printed.decode("utf-8", "replace").strip()

    def end(self):
        self.psql.kill()
        self.psql.wait()
        self.psql.stdin.close()
        self.psql.stdout.close()


def open_session():
    deadline = time.monotonic() + WATCHDOG
    while True:
        session = Session()
        if session.run("SET client_min_messages = error;") == "":
            session.run("SET statement_timeout = '60s'; SET chpg.connect_timeout = '60s';"
                        " SET chpg.cache_ttl = 0;")
            return session
        session.end()
        if time.monotonic() > deadline:
            raise SystemExit("PostgreSQL does not come up again")
        time.sleep(0.5)


def run_clean(session, call):
    """With answers that are left alone, and time for them on a busy machine.

    The connection may be one that the proxy has closed after the last call: that is retried.
    """
    return session.run(f"SET chpg.request_timeout = '60s'; SET chpg.max_retries = 3;\n{call};")


def run_broken(session, call, is_cached):
    """Does not wait long, nor again; if the answers are cached, from there once more."""
    settings = "SET chpg.request_timeout = '2s'; SET chpg.max_retries = 0;"
    if is_cached:
        return session.run(f"{settings} SET chpg.cache_ttl = '10min';\n{call};\n{call};\n"
                           "DO 'BEGIN PERFORM chpg_cache_reset(); END'; SET chpg.cache_ttl = 0;")
    return session.run(f"{settings}\n{call};")


def judge(printed):
    """What is wrong with the end of a call, or None; and its SQLSTATE, or "rows"."""
    if printed is None:
        return "the session broke off, or hangs", "lost"
    error = re.search(r"^(?:psql:.*?)?(ERROR|FATAL|PANIC):  (\w{5}): (.*)$", printed, re.M)
    if not error:
        if re.search(r"server closed the connection|connection to server was lost|invalid command|Invalid", printed):
            return "the connection was lost", "lost"
        return None, "rows"
    level, state, message = error.groups()
    if level != "ERROR" or not ALLOWED.match(state) or "cache lookup" in message:
        return f"{level} {state}: {message}", state
    return None, state


def send(emulator, method, path, body):
    """A request to the emulator itself; its answer."""
    request = urllib.request.Request(emulator + path, json.dumps(body).encode(), method=method)
    request.add_header("Content-Type", "application/json")
    request.add_header("Authorization", "Basic " + base64.b64encode(b"demoKeyId:demoKeySecret").decode())
    with urllib.request.urlopen(request) as response:
        return json.load(response)


def load_calls():
    with open(os.path.join(HERE, "calls.sql"), encoding="utf-8") as file:
        return [line.strip() for line in file if line.strip() and not line.startswith("--")]


def check_coverage(session, calls):
    """Every foreign table, and every function that reads from the API, is in some call.

    But chpg_wait(), which reads as chpg_service() does, three times, a second apart.
    """
    names = session.run(
        "SELECT string_agg(name, ' ') FROM (SELECT proname::text AS name FROM pg_proc"
        " WHERE prolang = (SELECT oid FROM pg_language WHERE lanname = 'c') AND proname LIKE 'chpg%'"
        " AND procost >= 100000 AND has_function_privilege('pg_monitor', oid, 'EXECUTE')"
        " AND proname <> 'chpg_wait'"
        " UNION SELECT 'cloud.' || relname FROM pg_class WHERE relkind = 'f') n;").split()
    if len(names) < 15:
        raise SystemExit(f"only {len(names)} reads were found: {names}")
    missing = [name for name in names if not any(name in call for call in calls)]
    if missing:
        raise SystemExit(f"calls.sql lacks {', '.join(missing)}")


def main():
    emulator, seed, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    only = int(sys.argv[4]) if len(sys.argv) > 4 else None

    organization = send(emulator, "POST", "/_emulator/reset", {"now": NOW})["organization_id"]
    service = f"/v1/organizations/{organization}/postgres/{VARIABLES['service']}"
    send(emulator, "POST", f"{service}/privateEndpoint", {})
    send(emulator, "PATCH", f"{service}/config",
         {"pgConfig": {"work_mem": "8MB", "max_connections": 200}, "pgBouncerConfig": {"default_pool_size": 5}})

    state = State(seed)
    server = Server(("127.0.0.1", 0), make_handler(state, urllib.parse.urlsplit(emulator).netloc))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    subprocess.run(["psql", "-X", "-q", "-o", os.devnull, "-v", f"organization={organization}",
                    "-v", f"url=http://127.0.0.1:{server.server_port}", "-f", os.path.join(HERE, "setup.sql")], check=True)

    calls = load_calls()
    session = open_session()
    pattern = session.run("SELECT query_id, db_name, db_user, db_operation FROM cloud.slow_patterns WHERE from_date ="
                          " :'start' AND to_date = :'stop' AND service_id = :'service' AND query_id <> 0 LIMIT 1;")
    VARIABLES.update(zip(("query_id", "db_name", "db_user", "db_operation"), pattern.split("|")))
    session.end()
    session = open_session()
    check_coverage(session, calls)
    clean = [run_clean(session, call) for call in calls]
    for call, printed in zip(calls, clean):
        if judge(printed)[1] != "rows" or printed == "":
            raise SystemExit(f"a call fails with the emulator's own answers: {call}\n{printed}")

    outcomes, mutated, failures = collections.Counter(), collections.Counter(), 0

    def fail(number, call, wrong, printed):
        nonlocal failures, session
        failures += 1
        print(f"not ok - call {number}: {wrong}\n  {call}")
        for done in state.done:
            print(f"  {done}")
        print("  " + (printed or "")[:2000].replace("\n", "\n  "), flush=True)
        if wrong.startswith("the"):
            session.end()
            session = open_session()

    for number in [only] if only else range(1, count + 1):
        call = random.Random(f"{seed} {number}").choice(calls)
        state.begin(number)
        printed = run_broken(session, call, number % 10 == 0)
        wrong, outcome = judge(printed)
        outcomes[outcome] += 1
        for done in state.done:
            mutated.update(done.rsplit(": ", 1)[1].split(", "))
        if only:
            print("\n".join(state.done + [call, printed or ""]))
        if wrong:
            fail(number, call, wrong, printed)
        if only or number % CLEAN_EVERY == 0:
            state.begin(None)
            i = number // CLEAN_EVERY % len(calls)
            printed = run_clean(session, calls[i])
            if printed != clean[i]:
                fail(number, calls[i], "the next call gives something else than at first", printed)
        if number % 500 == 0:
            print(f"{number} calls", flush=True)
        if failures >= MAX_FAILURES:
            print(f"given up after {failures} failures")
            break

    session.end()
    server.shutdown()
    print("mutations: " + ", ".join(f"{n} {name}" for name, n in mutated.most_common()))
    print("outcomes: " + ", ".join(f"{n} {name}" for name, n in outcomes.most_common()))
    if count >= 500 and (len(mutated) < 20 or outcomes["rows"] == 0 or outcomes["08P01"] == 0):
        print("not ok: the answers were not broken, or all of them")
        failures += 1
    print(f"{sum(outcomes.values()) - failures} passed, {failures} failed")
    return 1 if failures else 0


sys.exit(main())
