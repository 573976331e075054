import { describe, expect, it } from "vitest";
import { type FoundStore, StoreHistory } from "./store-history.ts";

/** A store in which coordinators a, b and c have followed one another. */
function store(change: Partial<FoundStore> = {}): FoundStore {
  return {
    generation: 0,
    revision: 50,
    changedRevision: 45,
    writtenBy: "c",
    terms: [
      { by: "a", startRevision: 0 },
      { by: "b", startRevision: 20 },
      { by: "c", startRevision: 40 },
    ],
    ...change,
  };
}

/** What becomes of a node that has seen the first, and meets the second. */
function hasGoneBack(seen: FoundStore, met: FoundStore): boolean {
  const history = new StoreHistory();
  history.take(seen);
  history.take(met);
  return history.goneBackTo !== undefined;
}

describe("a node that meets the store again", () => {
  it("follows one that has moved on, under the same coordinator or others", () => {
    expect(hasGoneBack(store(), store())).toBe(false);
    expect(hasGoneBack(store(), store({ revision: 60, changedRevision: 60 }))).toBe(false);
    const terms = [...store().terms, { by: "d", startRevision: 45 }, { by: "e", startRevision: 70 }];
    expect(hasGoneBack(store(), store({ revision: 90, changedRevision: 90, writtenBy: "e", terms }))).toBe(
      false,
    );
  });

  it("does not follow one with a lower revision, or of whose writes the last is missing", () => {
    expect(hasGoneBack(store(), store({ revision: 49 }))).toBe(true);
    expect(hasGoneBack(store(), store({ revision: 1000, changedRevision: 44 }))).toBe(true);
  });

  it("does not follow one that went on from an earlier state, however far it has come", () => {
    const later = { revision: 1000, changedRevision: 1000, writtenBy: "x" };
    const [a, b, c] = store().terms;
    if (a === undefined || b === undefined || c === undefined) throw new Error("three terms are missing");
    // From before the last coordinator's term, and from the midst of it.
    expect(hasGoneBack(store(), store({ ...later, terms: [a, b, { by: "x", startRevision: 30 }] }))).toBe(
      true,
    );
    expect(hasGoneBack(store(), store({ ...later, terms: [a, b, c, { by: "x", startRevision: 44 }] }))).toBe(
      true,
    );
  });

  it("goes by revisions where terms were not kept, or not for so long", () => {
    const later = { revision: 1000, changedRevision: 1000, writtenBy: "x" };
    expect(hasGoneBack(store({ writtenBy: undefined }), store({ ...later, terms: [] }))).toBe(false);
    expect(hasGoneBack(store(), store({ ...later, terms: [{ by: "x", startRevision: 500 }] }))).toBe(false);
  });

  it("follows after a recovery, and not a store from before it", () => {
    const history = new StoreHistory();
    history.take(store());
    history.take(store({ revision: 10 }));
    history.take(store({ revision: 100, changedRevision: 100 }));
    expect(history.goneBackTo).toBeDefined();
    history.take(store({ generation: 7, revision: 100, changedRevision: 100, terms: [] }));
    expect(history.goneBackTo).toBeUndefined();
    history.take(store({ revision: 200, changedRevision: 200 }));
    expect(history.goneBackTo).toBeDefined();
  });
});
