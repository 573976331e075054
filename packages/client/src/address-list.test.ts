import { systemRandom } from "@ottla/runtime";
import { expect, test } from "vitest";
import { addressList } from "./address-list.ts";

/** Takes the last one first. */
const backwards = { ...systemRandom, integer: (limit: number) => limit - 1 };

test("a list, commas, or both: all in a random order, so that clients spread over gateways", () => {
  expect(addressList(undefined, backwards)).toBe("localhost:50051");
  expect(addressList("a:1", backwards)).toBe("a:1");
  expect(addressList("a:1, b:2", backwards)).toBe("b:2,a:1");
  expect(addressList(["a:1", "b:2,[::1]:3"], backwards)).toBe("[::1]:3,b:2,a:1");
});

test("grpc's own targets pass as they are", () => {
  const target = "ipv4:10.0.0.1:50051,10.0.0.2:50051";
  expect(addressList(target, backwards)).toBe(target);
});

test.each(["", "a", "a:1,", "http://a:1", [], ["a:1", ""]])("%j is refused at once", (address) => {
  expect(() => addressList(address, systemRandom)).toThrow(/^address must be host:port/);
});
