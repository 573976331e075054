import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { createLogger, type LoggerOptions, nullLogger } from "./logging.ts";

function collect(options: Omit<LoggerOptions, "destination">) {
  const lines: string[] = [];
  const logger = createLogger({ ...options, destination: { write: (line) => void lines.push(line) } });
  return { logger, lines };
}

describe("createLogger", () => {
  test("json lines carry level, time, service and node id", () => {
    const { logger, lines } = collect({ format: "json", name: "gateway", nodeId: 3 });
    logger.info({ topic: "t" }, "created");
    expect(JSON.parse(lines[0] ?? "")).toEqual({
      level: "info",
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
      service: "gateway",
      node: 3,
      topic: "t",
      msg: "created",
    });
  });

  test("secrets do not reach the log, at the top or one level down", () => {
    const { logger, lines } = collect({ format: "json" });
    logger.info({ password: "p1", cluster: { secret: "p2", name: "c" } }, "joined");
    logger.child({ token: "p3" }).info("called");
    expect(lines.join("")).not.toMatch(/p1|p2|p3/);
    expect(lines[0]).toContain('"name":"c"');
  });

  test("lines below the level are not written", () => {
    const { logger, lines } = collect({ format: "json", level: "warn" });
    logger.info("no");
    logger.warn("yes");
    expect(lines).toHaveLength(1);
  });

  test("away from a terminal, auto is json", () => {
    const { logger, lines } = collect({ format: "auto" });
    logger.info("x");
    expect(lines[0]).toMatch(/^\{/);
  });

  test("pretty lines are for people", () => {
    const { logger, lines } = collect({ format: "pretty", name: "coordinator" });
    logger.warn({ topic: "t" }, "slow");
    expect(lines.join("")).toMatch(/WARN.*coordinator: slow\n\s+topic: "t"/);
  });

  test("pretty lines name the node that speaks, and show the one that is spoken of", () => {
    const { logger, lines } = collect({ format: "pretty", name: "coordinator", nodeId: 0 });
    logger.info({ nodeId: 4 }, "storage node registered");
    expect(lines.join("")).toMatch(/coordinator 0: storage node registered\n\s+nodeId: 4/);
  });

  test("the last lines are written to standard error even when the process exits at once", () => {
    const module = fileURLToPath(new URL("./logging.ts", import.meta.url));
    const program = `import { createLogger } from ${JSON.stringify(module)};
      const logger = createLogger({ format: "json" });
      for (let line = 0; line < 1000; line += 1) logger.info({ line }, "x".repeat(100));
      logger.fatal("the end");
      process.exit(3);`;
    const child = spawnSync(process.execPath, ["--input-type=module-typescript", "-e", program], {
      encoding: "utf8",
    });
    expect(child.status).toBe(3);
    expect(child.stdout).toBe("");
    expect(child.stderr.trimEnd().split("\n")).toHaveLength(1001);
    expect(child.stderr).toContain('"msg":"the end"');
  });
});

test("nullLogger logs nothing", () => {
  expect(nullLogger.isLevelEnabled("fatal")).toBe(false);
});
