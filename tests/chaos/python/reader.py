"""Reads all partitions from their start until it is ended. Usage: reader.py BOOTSTRAP TOPIC PARTITIONS

Writes "read PARTITION OFFSET VALUE" for each record, "failed ..." for an error that the client does not get over.
"""

import sys

from confluent_kafka import Consumer, KafkaError, TopicPartition

bootstrap, topic, partitions = sys.argv[1], sys.argv[2], int(sys.argv[3])
consumer = Consumer(
    {
        "bootstrap.servers": bootstrap,
        "group.id": "chaos",
        "enable.auto.commit": False,
        "auto.offset.reset": "error",
        "check.crcs": True,
        "fetch.wait.max.ms": 500,
        "socket.timeout.ms": 6000,
        "socket.connection.setup.timeout.ms": 3000,
        "reconnect.backoff.max.ms": 500,
        "topic.metadata.refresh.interval.ms": 10000,
    }
)
consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
FATAL = {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._BAD_MSG, KafkaError._FATAL}
while True:
    messages = consumer.consume(num_messages=500, timeout=0.2)
    lines = []
    for message in messages:
        error = message.error()
        if error is None:
            lines.append(f"read {message.partition()} {message.offset()} {message.value().decode()}")
        elif error.code() in FATAL:
            lines.append(f"failed {message.partition()} {error}")
    if lines:
        print("\n".join(lines), flush=True)
