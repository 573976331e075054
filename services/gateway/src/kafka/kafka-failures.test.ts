import { ERRORS, OttlaError } from "@ottla/errors";
import { LimitedLogger, nullLogger, systemClock } from "@ottla/runtime";
import { expect, test } from "vitest";
import { KafkaFailures } from "./kafka-failures.ts";

test("what is away for now makes clients come back, with the code that they do it on", () => {
  const failures = new KafkaFailures(new LimitedLogger({ logger: nullLogger, clock: systemClock }));
  for (const code of ["UNAVAILABLE", "METADATA_UNAVAILABLE"] as const) {
    const away = new OttlaError(code, "the store does not answer");
    expect(failures.of(away, "CreateTopics").errorCode).toBe(ERRORS.NOT_CONTROLLER.kafka);
    expect(failures.of(away, "Metadata").errorCode).toBe(ERRORS.LEADER_NOT_AVAILABLE.kafka);
    expect(failures.of(away, "IncrementalAlterConfigs").errorCode).toBe(ERRORS.REQUEST_TIMED_OUT.kafka);
  }
});
