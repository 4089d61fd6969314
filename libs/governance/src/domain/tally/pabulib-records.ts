/** Where a record ends that has a quote in it: at the first line end outside quotes, −1 when the text ends before. */
export function endOfQuotedRecord(text: string, start: number): { end: number; lines: number } {
  let open = false;
  let fieldStart = true;
  let lines = 1;
  for (let at = start; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 10) {
      if (!open) return { end: at, lines };
      lines++;
    }
    if (code === 34 && (open || fieldStart)) open = !open;
    // After a closing quote a second one reopens the field: it stood for a quote character.
    fieldStart = code === 59 || (code === 34 && !open) || (fieldStart && code === 32);
  }
  return { end: -1, lines: open ? lines + 1 : lines };
}

/** The fields of a record with quotes; at most one more than `limit`, as whoever has more is refused anyway. */
export function splitQuoted(record: string, limit: number): string[] {
  const fields: string[] = [];
  let at = 0;
  while (at <= record.length && fields.length <= limit) {
    let value = '';
    let begin = at;
    while (record[begin] === ' ') begin++;
    if (record[begin] === '"') {
      at = begin + 1;
      for (;;) {
        const close = record.indexOf('"', at);
        const stop = close < 0 ? record.length : close;
        value += record.slice(at, stop);
        at = stop + 1;
        if (record[at] !== '"') break;
        value += '"';
        at++;
      }
    }
    let end = record.indexOf(';', at);
    if (end < 0) end = record.length;
    fields.push(value + record.slice(at, end));
    at = end + 1;
  }
  return fields;
}

/** The names or scores of a ballot. */
export function splitList(text: string): string[] {
  if (text === '') return [];
  const names = text.split(',');
  for (let k = 0; k < names.length; k++) names[k] = (names[k] as string).trim();
  return names;
}
