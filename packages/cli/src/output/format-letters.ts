/** What may follow a percent sign in a format, as in kcat. */
export const FORMAT_LETTERS: Readonly<Record<string, string>> = {
  t: "topic",
  p: "partition",
  o: "offset",
  k: "key",
  s: "value",
  h: "headers, as name=value,name=value",
  T: "timestamp, milliseconds since 1970",
  K: "key length in bytes, -1 for null",
  S: "value length in bytes, -1 for null",
  "%": "a percent sign",
};
