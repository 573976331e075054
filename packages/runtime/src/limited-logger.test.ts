import { describe, expect, test } from "vitest";
import { LimitedLogger } from "./limited-logger.ts";
import { createLogger } from "./logging.ts";
import { VirtualClock } from "./virtual-clock.ts";

function setUp(maxKeys?: number) {
  const lines: { msg: string; suppressed?: number; n?: number }[] = [];
  const destination = { write: (line: string) => void lines.push(JSON.parse(line)) };
  const clock = new VirtualClock();
  const limited = new LimitedLogger({
    logger: createLogger({ format: "json", level: "debug", destination }),
    clock,
    intervalMs: 1_000,
    ...(maxKeys === undefined ? {} : { maxKeys }),
  });
  const seen = () => lines.splice(0).map(({ msg, suppressed, n }) => ({ msg, n, suppressed }));
  return { limited, clock, seen };
}

describe("LimitedLogger", () => {
  test("the first line comes at once, then one per interval, with the count of the others", async () => {
    const { limited, clock, seen } = setUp();
    for (let n = 1; n <= 5; n += 1) limited.warn("slow client", { n }, "slow");
    expect(seen()).toEqual([{ msg: "slow", n: 1 }]);
    await clock.advance(999);
    expect(seen()).toEqual([]);
    await clock.advance(1);
    expect(seen()).toEqual([{ msg: "slow", n: 5, suppressed: 3 }]);
    await clock.advance(1_000);
    expect(seen()).toEqual([]);
    expect(clock.pendingTimers).toBe(0);
    limited.warn("slow client", { n: 6 }, "slow");
    expect(seen()).toEqual([{ msg: "slow", n: 6 }]);
  });

  test("keys do not hold each other back", () => {
    const { limited, seen } = setUp();
    limited.error("a", {}, "a");
    limited.info("b", {}, "b");
    limited.debug("c", {}, "c");
    expect(seen().map(({ msg }) => msg)).toEqual(["a", "b", "c"]);
  });

  test("further keys than the limit share one, so that memory is bounded", () => {
    const { limited, clock, seen } = setUp(10);
    for (let key = 0; key < 1_000; key += 1) limited.warn(`client ${key}`, {}, `from ${key}`);
    expect(seen()).toHaveLength(11);
    expect(clock.pendingTimers).toBe(11);
  });

  test("closing writes what was held back and leaves no timer", () => {
    const { limited, clock, seen } = setUp();
    limited.warn("a", { n: 1 }, "x");
    limited.warn("a", { n: 2 }, "x");
    seen();
    limited.close();
    expect(seen()).toEqual([{ msg: "x", n: 2 }]);
    expect(clock.pendingTimers).toBe(0);
  });
});
