import type { EtcdStore } from "@ottla/metadata/etcd";
import { put, text, WatchRecorder } from "@ottla/metadata/testing";
import { createLogger, systemClock } from "@ottla/runtime";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { EtcdServer, haveEtcd } from "../support/etcd-server.ts";
import { openEtcdStore } from "../support/etcd-store.ts";

const PASSWORD = "a password for this test";
const credentials = { username: "ottla", password: PASSWORD };

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}

/** Turns authentication on, with a user who may use keys that begin with "/ottla/" only. */
async function turnOnAuthentication(server: EtcdServer): Promise<void> {
  const { first } = server;
  for (const name of ["root", "ottla"]) {
    await first.control("auth/user/add", { name, password: PASSWORD });
    await first.control("auth/role/add", { name });
    await first.control("auth/user/grant", { user: name, role: name });
  }
  const perm = { permType: "READWRITE", key: base64("/ottla/"), range_end: base64("/ottla0") };
  await first.control("auth/role/grant", { name: "ottla", perm });
  await first.control("auth/enable", {});
}

describe.runIf(haveEtcd())("EtcdStore at an etcd that wants a login", () => {
  let server: EtcdServer;
  const stores: EtcdStore[] = [];

  function open(options: Parameters<typeof openEtcdStore>[1] = {}): EtcdStore {
    const store = openEtcdStore(server.endpoints, options);
    stores.push(store);
    return store;
  }

  beforeAll(async () => {
    server = await EtcdServer.start();
    await turnOnAuthentication(server);
  });

  afterEach(async () => {
    for (const store of stores.splice(0)) await store.close();
  });

  afterAll(async () => {
    await server.stop();
  });

  it("logs in again when etcd has forgotten the login: for writes, reads, watches and leases", async () => {
    const store = open({ credentials });
    await store.transact(put("/ottla/a", "1"));
    const lease = await store.lease({ ttlMs: 10_000 });
    const forgetLogin = async (): Promise<void> => {
      // The tokens of etcd's default kind live in its memory only.
      await server.first.kill();
      await server.first.launch();
    };
    await forgetLogin();
    // A write, so that nothing but the write itself can have renewed the login.
    await expect.poll(() => canWrite(store, "/ottla/b")).toBe(true);
    expect((await store.get("/ottla/b"))?.version).toBe(1);
    await forgetLogin();
    expect(text(await store.get("/ottla/a"))).toBe("1");
    const recorder = new WatchRecorder();
    const { revision } = await store.range("/ottla/");
    const watch = store.watch("/ottla/", revision + 1, recorder);
    await store.transact(put("/ottla/c"));
    await recorder.until(() => recorder.changes.length > 0);
    watch.close();
    await forgetLogin();
    await lease.revoke();
    expect(lease.lost.aborted).toBe(true);
  });

  it("says at once what is wrong with the login", async () => {
    const startedAtMs = systemClock.monotonic();
    const wrong = open({ credentials: { ...credentials, password: "wrong" } });
    await expect(wrong.get("/ottla/a")).rejects.toMatchObject({
      code: "METADATA_UNAVAILABLE",
      message: expect.stringContaining("check etcd.username and etcd.password") as unknown,
    });
    await expect(open().transact(put("/ottla/a"))).rejects.toMatchObject({
      code: "METADATA_UNAVAILABLE",
      message: expect.stringContaining("set etcd.username and etcd.password") as unknown,
    });
    expect(systemClock.monotonic() - startedAtMs).toBeLessThan(4000);
  });

  it("says so when the user may not use a key, also of a watch", async () => {
    const store = open({ credentials });
    await expect(store.transact(put("/elsewhere"))).rejects.toMatchObject({
      code: "METADATA_UNAVAILABLE",
      message: expect.stringMatching(/permission denied.*grant/) as unknown,
    });
    const recorder = new WatchRecorder();
    store.watch("/elsewhere", 1, recorder);
    await recorder.until(() => recorder.lost !== undefined);
    expect(recorder.lost?.message).toContain("permission denied");
    await store.transact(put("/ottla/a"));
  });

  it("warns of an etcd that is older than what is recommended, once for a member", async () => {
    const lines: string[] = [];
    const destination = { write: (line: string) => void lines.push(line) };
    const logger = createLogger({ level: "warn", format: "json", destination });
    const store = open({ credentials, logger });
    const version = await store.describe();
    expect(version).toMatch(/^etcd 3\.\d+\.\d+ at 127\.0\.0\.1:\d+$/);
    await store.get("/ottla/a");
    const isOld = version.startsWith("etcd 3.4.");
    expect(lines.filter((line) => line.includes("upgrade it"))).toHaveLength(isOld ? 1 : 0);
    expect(lines.join("")).not.toContain(PASSWORD);
  });
});

/** A write that meets the broken connection has an unknown outcome; the next one finds a new connection. */
function canWrite(store: EtcdStore, key: string): Promise<boolean> {
  const write = { ...put(key), compare: [{ key, createRevision: 0 }] };
  return store.transact(write).then(
    () => true,
    () => false,
  );
}
