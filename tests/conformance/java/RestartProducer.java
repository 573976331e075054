import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;

/**
 * Produces numbers idempotently while the server is killed and started again. Usage: RestartProducer BOOTSTRAP TOPIC
 * COUNT. Prints "sending" once the first record is acknowledged, and at the end how many were.
 */
public final class RestartProducer {
  public static void main(String[] arguments) throws Exception {
    AtomicInteger acknowledged = new AtomicInteger();
    try (KafkaProducer<byte[], byte[]> producer = Check.producer(
        arguments[0], "linger.ms", 1, "batch.size", 1000, "buffer.memory", 200_000, "max.block.ms", 60_000)) {
      for (int number = 0; number < Integer.parseInt(arguments[2]); number++) {
        byte[] value = Check.bytes(String.valueOf(number));
        producer.send(new ProducerRecord<>(arguments[1], number % 2, null, value), (sent, failure) -> {
          if (failure != null) {
            System.err.println("lost: " + failure);
            Runtime.getRuntime().halt(1);
          }
          if (acknowledged.incrementAndGet() == 1) System.out.println("sending");
        });
      }
    }
    System.out.println("acknowledged " + acknowledged.get());
  }
}
