import { describe, expect, it } from "vitest";
import { OwnerEpochs } from "./owner-epochs.ts";

describe("the owners of a single-writer log (R13)", () => {
  it("lets only the newest owner append, after its control batch", () => {
    const owners = new OwnerEpochs();
    expect(owners.refuse(1, false)?.code).toBe("INVALID_REQUEST");
    expect(owners.refuse(1, true)).toBeUndefined();
    owners.begin(1, 0);
    expect(owners.refuse(1, false)).toBeUndefined();
    owners.begin(3, 10);
    expect(owners.refuse(1, false)?.code).toBe("PRODUCER_FENCED");
    expect(owners.refuse(2, true)?.code).toBe("PRODUCER_FENCED");
    expect(owners.refuse(3, true)).toBeUndefined();
    expect(owners.latest).toBe(3);
  });

  it("gives the log back to the owner before when the newer one's control batch is truncated", () => {
    const owners = new OwnerEpochs([
      { ownerEpoch: 1, offset: 0 },
      { ownerEpoch: 3, offset: 10 },
    ]);
    owners.truncateTo(11);
    expect(owners.latest).toBe(3);
    owners.truncateTo(10);
    expect(owners.latest).toBe(1);
    expect(owners.refuse(1, false)).toBeUndefined();
  });

  it("does not forget the owner when the log's beginning is deleted", () => {
    const owners = new OwnerEpochs([
      { ownerEpoch: 1, offset: 0 },
      { ownerEpoch: 3, offset: 10 },
      { ownerEpoch: 4, offset: 20 },
    ]);
    owners.forgetBefore(15);
    expect(owners.starts).toEqual([
      { ownerEpoch: 3, offset: 10 },
      { ownerEpoch: 4, offset: 20 },
    ]);
    owners.forgetBefore(1_000);
    expect(owners.latest).toBe(4);
  });
});
