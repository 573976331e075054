/* The client of the Kafka benchmarks: librdkafka, in C, so that the client costs as little as a client can.
 *
 *   rdkafka-bench produce BROKERS TOPIC PARTITIONS RECORDS SIZE [key=value ...]
 *   rdkafka-bench consume BROKERS TOPIC PARTITION RECORDS [key=value ...]
 *
 * Prints one line: records, bytes, seconds, records/s, MB/s. Build: cc -O2 -o rdkafka-bench rdkafka-bench.c -lrdkafka */
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static long delivered, failed;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque) {
  (void)rk;
  (void)opaque;
  if (message->err) {
    if (failed++ == 0) fprintf(stderr, "delivery failed: %s\n", rd_kafka_err2str(message->err));
  } else {
    delivered++;
  }
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value) {
  char error[512];
  if (rd_kafka_conf_set(conf, name, value, error, sizeof error) != RD_KAFKA_CONF_OK) {
    fprintf(stderr, "%s\n", error);
    exit(2);
  }
}

static void set_all(rd_kafka_conf_t *conf, int argc, char **argv, int from) {
  for (int i = from; i < argc; i++) {
    char *equals = strchr(argv[i], '=');
    if (equals == NULL) {
      fprintf(stderr, "not key=value: %s\n", argv[i]);
      exit(2);
    }
    *equals = 0;
    set(conf, argv[i], equals + 1);
  }
}

static rd_kafka_t *create(rd_kafka_type_t type, rd_kafka_conf_t *conf) {
  char error[512];
  rd_kafka_t *rk = rd_kafka_new(type, conf, error, sizeof error);
  if (rk == NULL) {
    fprintf(stderr, "%s\n", error);
    exit(2);
  }
  return rk;
}

static void report(const char *what, long records, long bytes, double seconds) {
  printf("%s records=%ld bytes=%ld seconds=%.3f records_per_second=%.0f megabytes_per_second=%.1f\n", what, records, bytes,
         seconds, records / seconds, bytes / seconds / 1e6);
}

static int produce(int argc, char **argv) {
  int partitions = atoi(argv[4]);
  long records = atol(argv[5]);
  size_t size = (size_t)atol(argv[6]);
  rd_kafka_conf_t *conf = rd_kafka_conf_new();
  set(conf, "bootstrap.servers", argv[2]);
  set(conf, "acks", "all");
  set(conf, "linger.ms", "5");
  set(conf, "batch.num.messages", "10000");
  set(conf, "queue.buffering.max.messages", "500000");
  set(conf, "queue.buffering.max.kbytes", "262144");
  set_all(conf, argc, argv, 7);
  rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
  rd_kafka_t *rk = create(RD_KAFKA_PRODUCER, conf);
  rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, argv[3], NULL);
  char *payload = malloc(size);
  for (size_t i = 0; i < size; i++) payload[i] = (char)('a' + (i * 31 + i / 7) % 26);
  double start = now();
  for (long i = 0; i < records; i++) {
    /* A run of records goes to one partition, as a sticky partitioner does. */
    int partition = (int)((i / 2000) % partitions);
    while (rd_kafka_produce(topic, partition, 0, payload, size, NULL, 0, NULL) == -1) {
      if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
        fprintf(stderr, "%s\n", rd_kafka_err2str(rd_kafka_last_error()));
        return 1;
      }
      rd_kafka_poll(rk, 5);
    }
    if (i % 1000 == 0) rd_kafka_poll(rk, 0);
  }
  rd_kafka_flush(rk, 60000);
  double seconds = now() - start;
  report("produce", delivered, delivered * (long)size, seconds);
  return failed == 0 && delivered == records ? 0 : 1;
}

static int consume(int argc, char **argv) {
  int partition = atoi(argv[4]);
  long wanted = atol(argv[5]), records = 0, bytes = 0;
  rd_kafka_conf_t *conf = rd_kafka_conf_new();
  set(conf, "bootstrap.servers", argv[2]);
  set(conf, "fetch.message.max.bytes", "1048576");
  set(conf, "queued.max.messages.kbytes", "262144");
  set(conf, "check.crcs", "false");
  set_all(conf, argc, argv, 6);
  rd_kafka_t *rk = create(RD_KAFKA_CONSUMER, conf);
  rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, argv[3], NULL);
  if (rd_kafka_consume_start(topic, partition, RD_KAFKA_OFFSET_BEGINNING) == -1) return 1;
  rd_kafka_message_t *messages[1000];
  double start = now();
  while (records < wanted) {
    ssize_t count = rd_kafka_consume_batch(topic, partition, 1000, messages, 1000);
    if (count < 0) return 1;
    /* From the first records on: connecting and asking for offsets is not what is measured. */
    if (records == 0) start = now();
    for (ssize_t i = 0; i < count; i++) {
      if (!messages[i]->err) {
        records++;
        bytes += (long)messages[i]->len;
      }
      rd_kafka_message_destroy(messages[i]);
    }
    if (now() - start > 120) return 1;
  }
  double seconds = now() - start;
  report("consume", records, bytes, seconds);
  rd_kafka_consume_stop(topic, partition);
  return 0;
}

int main(int argc, char **argv) {
  if (argc >= 7 && strcmp(argv[1], "produce") == 0) return produce(argc, argv);
  if (argc >= 6 && strcmp(argv[1], "consume") == 0) return consume(argc, argv);
  fprintf(stderr, "usage: rdkafka-bench produce BROKERS TOPIC PARTITIONS RECORDS SIZE [key=value ...]\n"
                  "       rdkafka-bench consume BROKERS TOPIC PARTITION RECORDS [key=value ...]\n");
  return 2;
}
