"""Sends or receives records with confluent-kafka, as lines of JSON in which bytes are base64.

Usage: exchange.py send BOOTSTRAP TOPIC CODEC < LINES | exchange.py receive BOOTSTRAP TOPIC COUNT > LINES
"""

import base64
import json
import sys

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Producer, TopicPartition


def encoded(data):
    return None if data is None else base64.b64encode(data).decode()


def decoded(text):
    return None if text is None else base64.b64decode(text)


def send(bootstrap, topic, codec):
    failures = []
    producer = Producer({"bootstrap.servers": bootstrap, "compression.type": codec, "linger.ms": 50})
    for line in sys.stdin:
        record = json.loads(line)
        producer.produce(
            topic,
            partition=0,
            key=decoded(record["key"]),
            value=decoded(record["value"]),
            timestamp=record["timestampMs"],
            headers=[(header["key"], decoded(header["value"])) for header in record["headers"]],
            on_delivery=lambda error, _message: failures.append(error) if error else None,
        )
        producer.poll(0)
    assert producer.flush(30) == 0 and not failures, failures


def receive(bootstrap, topic, count):
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "none", "enable.auto.commit": False, "check.crcs": True}
    )
    consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    for _ in range(int(count)):
        message = consumer.poll(30)
        assert message is not None, "no record within 30 s"
        if message.error() is not None:
            raise KafkaException(message.error())
        headers = [{"key": key, "value": encoded(value)} for key, value in message.headers() or []]
        record = {"key": encoded(message.key()), "value": encoded(message.value())}
        print(json.dumps({**record, "timestampMs": message.timestamp()[1], "headers": headers}))
    consumer.close()


globals()[sys.argv[1]](*sys.argv[2:])
