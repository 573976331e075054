import { spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type handleUnaryCall, Server, ServerCredentials } from "@grpc/grpc-js";
import { readEtcdSettings } from "@ottla/metadata/etcd";
import { put, text } from "@ottla/metadata/testing";
import { defaultSettings, systemClock } from "@ottla/runtime";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { EtcdServer, haveEtcd } from "../support/etcd-server.ts";
import { openEtcdStore } from "../support/etcd-store.ts";
import { haveTools } from "../support/tools.ts";

describe.runIf(haveEtcd() && haveTools("openssl"))("EtcdStore over TLS", () => {
  let directory: string;
  let certificateFile: string;
  let keyFile: string;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "ottla-etcd-tls-"));
    certificateFile = join(directory, "certificate.pem");
    keyFile = join(directory, "key.pem");
    const request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    const subject = ["-days", "1", "-subj", "/CN=etcd", "-addext", "subjectAltName=IP:127.0.0.1"];
    const made = spawnSync("openssl", [...request, ...subject, "-keyout", keyFile, "-out", certificateFile]);
    if (made.status !== 0) throw new Error(`openssl made no certificate: ${made.stderr.toString()}`);
  });

  afterEach(async () => {
    await rm(directory, { recursive: true, force: true });
  });

  it("trusts the authorities of the settings and no others, and says why not", async () => {
    const server = await EtcdServer.start({ tls: { certificateFile, keyFile } });
    const settings = await defaultSettings({
      cluster: { secret: "a secret of sixteen characters and more" },
      etcd: { endpoints: server.endpoints, tlsCaFile: certificateFile },
    });
    const store = openEtcdStore([], await readEtcdSettings(settings.etcd, readFile));
    const stranger = openEtcdStore(server.endpoints);
    try {
      await store.transact(put("a", "1"));
      expect(text(await store.get("a"))).toBe("1");
      await expect(stranger.get("a", { timeoutMs: 1000 })).rejects.toMatchObject({
        code: "METADATA_UNAVAILABLE",
        message: expect.stringContaining("certificate") as unknown,
      });
    } finally {
      await store.close();
      await stranger.close();
      await server.stop();
    }
  });
});

describe("EtcdStore at an etcd that is too old", () => {
  it("refuses every call at once, with the versions", async () => {
    const server = new Server();
    const version = Buffer.from("3.3.27");
    // A StatusResponse of nothing but the version, which is its second field.
    const status = Buffer.concat([Buffer.from([0x12, version.length]), version]);
    const handler: handleUnaryCall<Buffer, Buffer> = (_call, answer) => answer(null, status);
    const method = {
      path: "/etcdserverpb.Maintenance/Status",
      requestStream: false,
      responseStream: false,
      requestSerialize: (request: Buffer) => request,
      requestDeserialize: (request: Buffer) => request,
      responseSerialize: (response: Buffer) => response,
      responseDeserialize: (response: Buffer) => response,
    };
    server.addService({ status: method }, { status: handler });
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    });
    const store = openEtcdStore([`127.0.0.1:${port}`]);
    const startedAtMs = systemClock.monotonic();
    const refused = {
      code: "METADATA_UNAVAILABLE",
      message: expect.stringMatching(/3\.3\.27.*3\.4/) as unknown,
    };
    await expect(store.get("a")).rejects.toMatchObject(refused);
    await expect(store.transact(put("a"))).rejects.toMatchObject(refused);
    await expect(store.lease({ ttlMs: 3000 })).rejects.toMatchObject(refused);
    expect(systemClock.monotonic() - startedAtMs).toBeLessThan(4000);
    await store.close();
    server.forceShutdown();
  });
});
