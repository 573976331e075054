import { expect, test } from "vitest";
import { loadSettings } from "./settings.ts";

function load(...argv: string[]) {
  return loadSettings({ argv, env: {}, readFile: async () => "" });
}

test("endpoints are a list, from a flag or a file", async () => {
  const { etcd } = await load("--etcd-endpoints", "https://a:2379, https://[::1]:2379/");
  expect(etcd.endpoints).toEqual(["https://a:2379", "https://[::1]:2379/"]);
  const yaml = "etcd:\n  endpoints: [a:2379, 'b:2379']\n";
  const fromFile = await loadSettings({ argv: ["--config", "f"], env: {}, readFile: async () => yaml });
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

test("a lease lives from 3 to 10 seconds", async () => {
  expect((await load("--cluster-lease-ttl-ms", "3s")).cluster.leaseTtlMs).toBe(3000);
  await expect(load("--cluster-lease-ttl-ms", "2s")).rejects.toThrow("from 3s to 10s");
  await expect(load("--cluster-lease-ttl-ms", "11s")).rejects.toThrow("from 3s to 10s");
});
