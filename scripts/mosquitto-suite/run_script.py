"""Runs one script of Mosquitto's test/broker with our broker in the place of `mosquitto`.

    run_script.py (--older | --all) SCRIPT PORT        in the folder test/broker; BROKER is our program, LOGS a folder

`--older` runs the half for MQTT 3.1.1: it ends at the first CONNECT of MQTT 5. Exit code 0 passed, 1 failed, 77 not
applicable: the script needs an option of Mosquitto's that ours does not have, or has no half for MQTT 3.1.1.

Nothing of Mosquitto's is changed on disk. The parts of scripts for MQTT 3.1, which ours does not speak, are left out.
Ours runs on one core, as Mosquitto does: scripts close one connection and count on its end when they use another.
Of the module `mosq_test`, three functions are replaced while a script runs:
- start_broker: starts ours, with the options that correspond to Mosquitto's;
- gen_connect: notices MQTT 5;
- expect_packet: reads whole packets, however they arrive. In MQTT 3.1.1 they must be the same octet by octet; in MQTT 5
  what a server is free in is not compared (`essence`).
"""

import inspect
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

NOT_APPLICABLE = 77
# Options of Mosquitto and ours; 0 is Mosquitto's word for no bound.
OPTIONS = {
    "max_inflight_messages": ["--inflight-max"],
    "max_queued_messages": ["--stored-per-client-max", "--waiting-max"],
    "max_keepalive": ["--keep-alive-secs-max"],
    "message_size_limit": ["--payload-bytes-max"],
}
# What changes nothing for us: ours takes anybody, writes at once, and has its own log and bounds in octets.
WITHOUT_MEANING = {
    "allow_anonymous", "allow_zero_length_clientid", "autosave_interval", "log_type", "max_inflight_bytes",
    "max_queued_bytes", "per_listener_settings", "persistence_location", "sys_interval",
}
START_SECONDS = 10

started = []
work = tempfile.mkdtemp(prefix="suite-mosquitto-")
marker = None


def not_applicable(why):
    print("NOT APPLICABLE:", why)
    sys.stdout.flush()
    raise SystemExit(NOT_APPLICABLE)


class Process(subprocess.Popen):
    """What scripts start: those that help them talk to ours as well."""

    def __init__(self, command, *args, **kwargs):
        if isinstance(command, list) and command[0].endswith("-helper.py"):
            command = [sys.executable, os.path.abspath(__file__), mode, os.path.basename(command[0])] + command[1:]
        super().__init__(command, *args, **kwargs)


class Broker(subprocess.Popen):
    """Ours; scripts print what it wrote when they fail."""

    def communicate(self, *_, **__):
        self.wait()
        with open(self.log_path, "rb") as log:
            return b"", log.read()


def on_one_core():
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def configuration(filename, cmd, port, use_conf):
    """The lines of Mosquitto's configuration, and its port when it is given by an argument."""
    path = None
    if use_conf or (cmd is None and port == 0):
        path = filename.replace(".py", ".conf")
    for flag, value in zip(cmd or [], (cmd or [])[1:]):
        if flag == "-c":
            path = value
        elif flag == "-p":
            port = int(value)
    if path is None:
        return [], port
    with open(path) as file:
        lines = [line.split("#")[0].split() for line in file]
    return [line for line in lines if line], port


def arguments(lines):
    """Ours, the ports to listen on, and the file Mosquitto would keep its state in."""
    ours, ports, state = [], [], {}
    for option, *values in lines:
        value = values[0] if values else ""
        if option in ("port", "listener"):
            ports.append(int(value))
        elif option in ("persistence", "persistence_file"):
            state[option] = value
        elif option in OPTIONS:
            if value != "0":
                ours += [word for name in OPTIONS[option] for word in (name, value)]
        elif option not in WITHOUT_MEANING:
            not_applicable("option " + option)
    if len(ports) > 1:
        not_applicable("several listeners")
    kept = state.get("persistence_file", "mosquitto.db") if state.get("persistence") == "true" else None
    return ours, ports, kept


def start_broker(filename, cmd=None, port=0, use_conf=False, expect_fail=False):
    global marker
    lines, port = configuration(filename, cmd, port, use_conf)
    ours, ports, kept = arguments(lines)
    port = ports[0] if ports else port or 1888
    data = os.path.join(work, "data")
    # A script that removes Mosquitto's file wants a broker that knows nothing.
    if kept is None or marker != kept or not os.path.exists(kept):
        shutil.rmtree(data, ignore_errors=True)
    marker = kept
    if kept is not None:
        open(kept, "a").close()
    log_path = os.path.join(os.environ["LOGS"], "%s.%d.log" % (os.path.basename(filename), len(started) + 1))
    command = [
        os.environ["BROKER"], "--profile", "standard", "--duplicate-client", "takeover", "--data-dir", data,
        "--mqtt", "127.0.0.1:%d" % port, "--websocket", "127.0.0.1:0", "--http", "127.0.0.1:0",
        "--api-token", "suite-mosquitto",
    ]
    with open(log_path, "wb") as log:
        broker = Broker(command + ours, stdout=log, stderr=subprocess.STDOUT, preexec_fn=on_one_core)
    broker.log_path = log_path
    started.append(broker)
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and broker.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return broker
        except ConnectionRefusedError:
            time.sleep(0.02)
    if expect_fail:
        return None
    raise IOError("the broker did not start: " + log_path)


def read_packet(sock):
    """One packet; less when the connection ends."""
    packet = sock.recv(1)
    length, shift = 0, 0
    while packet:
        octet = sock.recv(1)
        if not octet:
            return packet
        packet += octet
        length |= (octet[0] & 0x7F) << shift
        shift += 7
        if octet[0] < 0x80:
            break
    while packet and length > 0:
        more = sock.recv(length)
        if not more:
            break
        packet += more
        length -= len(more)
    return packet


def essence(packet):
    """What of a packet of MQTT 5 is compared. Servers are free in the properties of CONNACK, SUBACK and UNSUBACK, in
    telling that nobody subscribed (0x10), in leaving out a reason of 0, and in saying why in words."""
    kind = packet[0] >> 4
    start = 1
    while start < len(packet) - 1 and packet[start] >= 0x80:
        start += 1
    body = packet[start + 1:]
    if kind == 2:
        return packet[0], body[:2]
    if kind in (4, 5, 6, 7):
        code = body[2] if len(body) > 2 else 0
        return packet[0], body[:2], 0 if code == 0x10 else code
    if kind in (9, 11) and len(body) > 2:
        return packet[0], body[:2], body[3 + body[2]:]
    if kind == 14:
        return packet[0], body[0] if body else 0
    return (packet,)


def tells_why_it_closes(sock, received):
    """In MQTT 5 a server may say why before it closes."""
    return received[0] >> 4 in (2, 14) and sock.recv(1) == b""


def expect_packet(sock, name, expected):
    received = read_packet(sock)
    if speaks_5 and received and not expected and tells_why_it_closes(sock, received):
        print("LOOSENED", name, "received", received.hex(), "before the end")
        return True
    # Some scripts expect several packets at once.
    while received and len(received) < len(expected) and expected.startswith(received):
        more = read_packet(sock)
        if not more:
            break
        received += more
    if received == expected:
        return True
    if speaks_5 and received and expected and essence(received) == essence(expected):
        print("LOOSENED", name, "received", received.hex(), "expected", expected.hex())
        return True
    mosq_test.packet_matches(name, received, expected)
    print("received", received[:200].hex(), "expected", expected[:200].hex())
    raise mosq_test.TestError


def gen_connect(*args, **kwargs):
    global speaks_5, spoke_older
    version = signature.bind(*args, **kwargs).arguments.get("proto_ver", 4)
    if version == 5:
        if only_older:
            if not spoke_older:
                not_applicable("no half for MQTT 3.1.1")
            raise SystemExit(0)
        speaks_5 = True
    else:
        spoke_older = True
    return original_gen_connect(*args, **kwargs)


mode, script, port = sys.argv[1:]
only_older = {"--older": True, "--all": False}[mode]
speaks_5 = spoke_older = False
here = os.getcwd()
sys.path[:0] = [here, os.path.dirname(here)]
import mosq_test

original_gen_connect = mosq_test.gen_connect
signature = inspect.signature(original_gen_connect)
subprocess.Popen = Process
mosq_test.start_broker = start_broker
mosq_test.gen_connect = gen_connect
mosq_test.expect_packet = expect_packet

sys.argv = [script, port]
with open(script) as file:
    source = re.sub(r"^do_test\(proto_ver=3\)$", "pass", file.read(), flags=re.MULTILINE)
try:
    exec(compile(source, script, "exec"), {"__name__": "__main__", "__file__": script})
except ModuleNotFoundError as missing:
    not_applicable("Python's module " + missing.name)
finally:
    for broker in started:
        if broker.poll() is None:
            broker.kill()
            broker.wait()
    shutil.rmtree(work, ignore_errors=True)
