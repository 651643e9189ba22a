import { Fragment, type ReactNode } from 'react';

/** A text with `names` in backticks, as the server writes them. */
export function Words({ text }: { text: string }): ReactNode {
  return text.split('`').map((part, index) => {
    const key = `${index} ${part}`;
    return index % 2 === 1 ? <code key={key}>{part}</code> : <Fragment key={key}>{part}</Fragment>;
  });
}
