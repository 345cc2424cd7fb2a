"""Drives a broker of the default profile with the Eclipse Paho client, 1.x or 2.x, in MQTT 3.1.1 and in MQTT 5.

Usage: paho_clients.py PORT USERNAME SECRET

Prints a line per step; the first thing that is not as it should be ends it with a traceback and exit code 1.
"""

import base64
import hashlib
import hmac
import queue
import sys

import paho.mqtt.client as mqtt
from paho.mqtt import __version__ as mqtt_version
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PATIENCE = 20  # seconds that anything may take
IS_2 = hasattr(mqtt, "CallbackAPIVersion")  # then codes of MQTT 3.1.1 are told as those of MQTT 5
PORT, USERNAME, SECRET = int(sys.argv[1]), sys.argv[2], sys.argv[3]


def client_id(device):
    return f"GID_TEST@@@{device}"


def password(device, secret=SECRET):
    digest = hmac.new(secret.encode(), client_id(device).encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


class Phone:
    """A connected client that waits for what it asks for."""

    def __init__(self, device, version, lasting=False, secret=SECRET):
        self.version = version
        self.events, self.messages = queue.Queue(), queue.Queue()
        clean = None if version == mqtt.MQTTv5 else not lasting
        api = (mqtt.CallbackAPIVersion.VERSION2,) if IS_2 else ()
        self.client = mqtt.Client(*api, client_id(device), clean_session=clean, protocol=version)
        self.client.username_pw_set(USERNAME, password(device, secret))
        self.client.on_connect = self.on_connect
        self.client.on_subscribe = lambda client, data, mid, codes, *rest: self.events.put(("subscribed", codes))
        self.client.on_publish = lambda client, data, mid, *rest: self.events.put(("published", mid))
        self.client.on_disconnect = lambda client, data, *rest: self.events.put(("disconnected", rest))
        self.client.on_message = lambda client, data, message: self.messages.put(message)
        if version == mqtt.MQTTv5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = 600 if lasting else 0
            self.client.connect("127.0.0.1", PORT, clean_start=not lasting, properties=properties)
        else:
            self.client.connect("127.0.0.1", PORT)
        self.client.loop_start()
        self.session_present, self.reason = self.wait_for("connected")

    def on_connect(self, client, data, flags, code, *rest):
        present = flags.session_present if IS_2 else flags["session present"] == 1
        self.events.put(("connected", (present, getattr(code, "value", code))))

    def wait_for(self, kind):
        found, value = self.events.get(timeout=PATIENCE)
        assert found == kind, f"{found} {value} instead of {kind}"
        return value

    def subscribe(self, topic, qos):
        self.client.subscribe(topic, qos)
        return [getattr(code, "value", code) for code in self.wait_for("subscribed")]

    def publish(self, topic, payload, qos, properties=None):
        self.client.publish(topic, payload, qos, properties=properties)
        self.wait_for("published")

    def receive(self):
        message = self.messages.get(timeout=PATIENCE)
        return message.topic, message.payload.decode(), message.qos, message

    def leave(self):
        self.client.disconnect()
        self.wait_for("disconnected")
        self.client.loop_stop()


def expect(actual, expected):
    assert actual == expected, f"{actual!r} instead of {expected!r}"


def every_qos(version):
    reader, writer = Phone("reader", version), Phone("writer", version)
    expect(reader.subscribe("news/#", 2), [2])
    for qos in (0, 1, 2):
        writer.publish("news/x", f"qos {qos}", qos)
        expect(reader.receive()[:3], ("news/x", f"qos {qos}", qos))
    reader.leave()
    writer.leave()


def p2p(version):
    alice, bob = Phone("alice", version), Phone("bob", version)
    topic = f"down/p2p/{client_id('bob')}"
    for qos in (0, 1, 2):
        alice.publish(topic, f"p2p {qos}", qos)
        expect(bob.receive()[:3], (topic, f"p2p {qos}", qos))
    bob.leave()
    alice.leave()
    # Who publishes with a lasting session leaves it in the mailbox of who is away.
    alice = Phone("alice", version, lasting=True)
    alice.publish(topic, "waits", 1)
    alice.leave()
    bob = Phone("bob", version)
    expect(bob.receive()[:3], (topic, "waits", 1))
    bob.leave()


def lasting_session(version):
    device = f"lasting-{int(version)}"
    away = Phone(device, version, lasting=True)
    expect(away.session_present, False)
    expect(away.subscribe("news/#", 1), [1])
    away.leave()
    writer = Phone("writer", version)
    for number in range(20):
        writer.publish("news/x", str(number), 1)
    writer.leave()
    back = Phone(device, version, lasting=True)
    expect(back.session_present, True)
    for number in range(20):
        expect(back.receive()[1], str(number))
    back.leave()
    expect(Phone(device, version).session_present, False)


def refusals(version):
    is_5 = version == mqtt.MQTTv5
    expect(Phone("stranger", version, secret="wrong").reason, 0x86 if is_5 or IS_2 else 4)
    client = Phone("refused", version)
    expect(client.subscribe("nowhere/x", 1), [0x8F if is_5 else 0x80])
    expect(client.subscribe("up/somebody-else", 1), [0x87 if is_5 else 0x80])
    client.leave()


def properties_of_version_5():
    reader, writer = Phone("reader", mqtt.MQTTv5), Phone("writer", mqtt.MQTTv5)
    numbered = Properties(PacketTypes.SUBSCRIBE)
    numbered.SubscriptionIdentifier = 7
    reader.client.subscribe("news/#", options=mqtt.SubscribeOptions(qos=1, noLocal=True), properties=numbered)
    reader.wait_for("subscribed")
    told = Properties(PacketTypes.PUBLISH)
    told.UserProperty = [("b", "2"), ("a", "1"), ("b", "2")]
    told.ContentType = "text/plain"
    told.ResponseTopic = "news/answers"
    told.CorrelationData = b"\x00\xff"
    told.PayloadFormatIndicator = 1
    told.MessageExpiryInterval = 60
    reader.publish("news/x", "my own", 1)
    writer.publish("news/x", "with properties", 1, told)
    heard = reader.receive()[3]
    expect(heard.payload, b"with properties")
    heard = heard.properties
    expect(heard.UserProperty, told.UserProperty)
    expect((heard.ContentType, heard.ResponseTopic), (told.ContentType, told.ResponseTopic))
    expect((heard.CorrelationData, heard.PayloadFormatIndicator), (told.CorrelationData, 1))
    expect(heard.SubscriptionIdentifier, [7])
    assert 0 < heard.MessageExpiryInterval <= 60, heard.MessageExpiryInterval
    # A reader of MQTT 3.1.1 gets the message without them.
    older = Phone("older", mqtt.MQTTv311)
    older.subscribe("news/#", 1)
    writer.publish("news/x", "for both", 1, told)
    expect(older.receive()[:3], ("news/x", "for both", 1))
    expect(reader.receive()[1], "for both")
    older.leave()
    reader.leave()
    writer.leave()


for name, version in (("3.1.1", mqtt.MQTTv311), ("5", mqtt.MQTTv5)):
    for step in (every_qos, p2p, lasting_session, refusals):
        step(version)
        print(f"MQTT {name}: {step.__name__}")
properties_of_version_5()
print("MQTT 5: properties_of_version_5")
print(f"paho-mqtt {mqtt_version}")
