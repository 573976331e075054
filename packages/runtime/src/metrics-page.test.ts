import { expect, test } from "vitest";
import { Counter, createMetricsRegistry } from "./metrics.ts";
import { labelText, metricsPage } from "./metrics-page.ts";
import { systemClock } from "./system-clock.ts";
import { VirtualClock } from "./virtual-clock.ts";

const lag = { name: "kafka_consumergroup_lag", help: "Records\nbehind" };
const members = { name: "kafka_consumergroup_members", help: "Members" };

async function textOf(registry: ReturnType<typeof createMetricsRegistry>): Promise<string> {
  return Buffer.from(await metricsPage(registry, systemClock)).toString();
}

test("sampled gauges stand beside kept metrics, each family in one piece, labels escaped", async () => {
  const registry = createMetricsRegistry();
  const registers = [registry];
  new Counter({ name: "ottla_log_appended_batches_total", help: "Batches", registers }).inc(3);
  registry.addSampledGauges({
    families: [lag, members],
    collect: async (samples) => {
      const group = labelText({ consumergroup: 'a"b\\c\nd', topic: "t" });
      samples.add(lag.name, group, 7);
      samples.add(members.name, labelText({ consumergroup: "g" }), 2);
      await samples.rest();
      samples.add(lag.name, labelText({ consumergroup: "g" }), Number.POSITIVE_INFINITY);
    },
  });
  expect(await textOf(registry)).toBe(
    "# HELP ottla_log_appended_batches_total Batches\n# TYPE ottla_log_appended_batches_total counter\n" +
      "ottla_log_appended_batches_total 3\n\n" +
      "# HELP kafka_consumergroup_lag Records\\nbehind\n# TYPE kafka_consumergroup_lag gauge\n" +
      'kafka_consumergroup_lag{consumergroup="a\\"b\\\\c\\nd",topic="t"} 7\n' +
      'kafka_consumergroup_lag{consumergroup="g"} +Inf\n\n' +
      "# HELP kafka_consumergroup_members Members\n# TYPE kafka_consumergroup_members gauge\n" +
      'kafka_consumergroup_members{consumergroup="g"} 2\n\n',
  );
});

test("a collection that fails leaves its families empty and all others on the page", async () => {
  const registry = createMetricsRegistry();
  registry.addSampledGauges({
    families: [lag],
    collect: async (samples) => {
      samples.add(lag.name, "", 1);
      throw new Error("no leader answers");
    },
  });
  registry.addSampledGauges({
    families: [members],
    collect: async (samples) => samples.add(members.name, 'consumergroup="g"', 1),
  });
  const text = await textOf(registry);
  expect(text).not.toContain("kafka_consumergroup_lag{");
  expect(text).toContain('kafka_consumergroup_members{consumergroup="g"} 1\n');
});

test("who works longer than a slice lets others have their turn before it goes on", async () => {
  const clock = new VirtualClock();
  const registry = createMetricsRegistry();
  const events: string[] = [];
  registry.addSampledGauges({
    families: [members],
    collect: async (samples) => {
      events.push("first piece");
      expect(samples.rest()).toBeUndefined();
      await clock.advance(10);
      clock.nextTurn(() => events.push("all else"));
      await samples.rest();
      events.push("second piece");
    },
  });
  const page = metricsPage(registry, clock);
  while (events.length < 3) await clock.advance(1);
  await page;
  expect(events).toEqual(["first piece", "all else", "second piece"]);
});

test("a name that breaks the rule, or that is there already, is refused", () => {
  const registry = createMetricsRegistry();
  const collect = async (): Promise<void> => undefined;
  registry.addSampledGauges({ families: [lag], collect });
  expect(() => registry.addSampledGauges({ families: [lag], collect })).toThrow(TypeError);
  const wrong = { name: "lag_of_groups", help: "h" };
  expect(() => registry.addSampledGauges({ families: [wrong], collect })).toThrow(TypeError);
});
