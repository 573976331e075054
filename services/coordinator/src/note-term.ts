import { termsStateCodec } from "@ottla/metadata";
import { type Term, writeAndSee } from "./term.ts";

/** So many terms are told apart; nodes that were away for longer go by revisions alone. */
const MAX_TERMS = 100;

/** The first write of a term: it takes its place in the store's history, by which nodes tell that apart. */
export async function noteTerm(term: Term): Promise<void> {
  const { store, view, writer } = term;
  const key = view.keys.terms;
  const [entry, changed] = await Promise.all([store.get(key), store.get(view.keys.changed)]);
  const before = entry === undefined ? [] : termsStateCodec.parse(entry.value, key).terms;
  if (before.at(-1)?.by === writer.by) return;
  const terms = [...before.slice(1 - MAX_TERMS), { by: writer.by, startRevision: changed?.modRevision ?? 0 }];
  await writeAndSee(term, {
    compare: [{ key, modRevision: entry?.modRevision ?? 0 }],
    success: [{ kind: "put", key, value: termsStateCodec.encode({ terms }) }],
  });
}
