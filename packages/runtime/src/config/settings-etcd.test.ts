import { expect, test } from "vitest";
import { loadSettings } from "./settings.ts";

const env = { OTTLA_CLUSTER_SECRET: "a secret of all nodes" };

function load(...argv: string[]) {
  return loadSettings({ argv, env, readFile: async () => "" });
}

test("endpoints are a list, from a flag or a file", async () => {
  const { etcd } = await load("--etcd-endpoints", "https://a:2379, https://[::1]:2379/");
  expect(etcd.endpoints).toEqual(["https://a:2379", "https://[::1]:2379/"]);
  const yaml = "etcd:\n  endpoints: [a:2379, 'b:2379']\n";
  const fromFile = await loadSettings({ argv: ["--config", "f"], env, readFile: async () => yaml });
  expect(fromFile.etcd.endpoints).toEqual(["a:2379", "b:2379"]);
  expect((await load()).etcd.endpoints).toEqual([]);
});

test("endpoints that cannot be meant are refused", async () => {
  for (const endpoints of ["a", "ftp://a:1", "a:2379/path", "a:b", "http://user@a:1", "a:1,,b:1"]) {
    await expect(load("--etcd-endpoints", endpoints)).rejects.toThrow("etcd-endpoints");
  }
  await expect(load("--etcd-endpoints", "http://a:1,https://b:1")).rejects.toThrow("all say https");
});

test("a login and a client certificate are whole or not there", async () => {
  await expect(load("--etcd-username", "u")).rejects.toThrow("etcd.password");
  await expect(load("--etcd-password", "p")).rejects.toThrow("etcd");
  const login = ["--etcd-username", "u", "--etcd-password", "p"];
  await expect(load(...login, "--etcd-password-file", "f")).rejects.toThrow("etcd.password");
  await expect(load("--etcd-tls-key-file", "k")).rejects.toThrow("tls-certificate-file");
  expect((await load(...login)).etcd).toMatchObject({ username: "u", password: "p" });
});

test("the password is never shown", async () => {
  const { effective } = await load("--etcd-username", "u", "--etcd-password", "hunter2");
  expect(JSON.stringify(effective)).not.toContain("hunter2");
});

test("with etcd the nodes need a secret of their own, which is never shown", async () => {
  const withoutSecret = (...argv: string[]) =>
    loadSettings({ argv: ["--etcd-endpoints", "a:1", ...argv], env: {}, readFile: async () => "" });
  await expect(withoutSecret()).rejects.toThrow("cluster.secret-file, where etcd.endpoints is");
  await expect(withoutSecret("--cluster-secret", "short")).rejects.toThrow("16 to 1024 characters");
  await expect(load("--cluster-secret-file", "f")).rejects.toThrow("when cluster.secret is set");
  const { cluster } = await withoutSecret("--cluster-secret-file", "f");
  expect(cluster.secretFile).toBe("f");
  const { effective } = await load("--etcd-endpoints", "a:1");
  expect(JSON.stringify(effective)).not.toContain(env.OTTLA_CLUSTER_SECRET);
});

test("a node that listens on all addresses must say which one the others connect to", async () => {
  const everywhere = ["--etcd-endpoints", "a:1", "--listen", "0.0.0.0"];
  await expect(load(...everywhere)).rejects.toThrow("internal.advertised-address");
  const { internal } = await load(...everywhere, "--internal-advertised-address", "node-1:50052");
  expect(internal.advertisedAddress).toBe("node-1:50052");
  expect((await load(...everywhere, "--internal-listen", "10.0.0.1")).internal.listen).toBe("10.0.0.1");
});

test("an IPv6 address that others connect to needs no brackets, as pods have none", async () => {
  const advertised = async (address: string) =>
    (await load("--etcd-endpoints", "a:1", "--internal-advertised-address", address)).internal
      .advertisedAddress;
  expect(await advertised("fd00::1:50052")).toBe("[fd00::1]:50052");
  expect(await advertised("2001:db8:0:1:2:3:4:5:50052")).toBe("[2001:db8:0:1:2:3:4:5]:50052");
  expect(await advertised("[fd00::1]:50052")).toBe("[fd00::1]:50052");
  expect(await advertised("10.0.0.1:50052")).toBe("10.0.0.1:50052");
  for (const address of ["fd00::1::50052", "fd00:1:50052", "::", ":50052"]) {
    await expect(advertised(address)).rejects.toThrow("host:port");
  }
});

test("a lease lives from 3 to 10 seconds", async () => {
  expect((await load("--cluster-lease-ttl-ms", "3s")).cluster.leaseTtlMs).toBe(3000);
  await expect(load("--cluster-lease-ttl-ms", "2s")).rejects.toThrow("from 3s to 10s");
  await expect(load("--cluster-lease-ttl-ms", "11s")).rejects.toThrow("from 3s to 10s");
});
