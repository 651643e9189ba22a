import type { ReactNode } from 'react';

import type { Summary } from './board.js';

export function Attendance({ attendance }: { attendance: Summary['attendance'] }): ReactNode {
  const parts: [id: string, name: string, count: number][] = [];
  if (attendance) {
    const { present, onBreak, late, absent } = attendance;
    // What nobody reported is not zero.
    if (present !== undefined) parts.push(['present', 'Present', present]);
    if (onBreak !== undefined) parts.push(['break', 'On break', onBreak]);
    if (late !== undefined) parts.push(['late', 'Late', late]);
    if (absent !== undefined) parts.push(['absent', 'Absent', absent]);
  }
  const total = Math.max(
    1,
    parts.reduce((all, [, , count]) => all + count, 0),
  );
  return (
    <section className="card" aria-labelledby="attendance-title">
      <h2 id="attendance-title">Attendance</h2>
      {!attendance ? (
        <p className="quiet">Nobody has been reported yet.</p>
      ) : (
        <>
          <p className="big">
            <span data-testid="present">{attendance.present ?? '–'}</span>
            <small>{attendance.scheduled === undefined ? ' present' : ` of ${attendance.scheduled} scheduled`}</small>
          </p>
          <div className="stack" aria-hidden="true">
            {parts.map(([id, , count]) => (
              <span key={id} data-part={id} style={{ flexGrow: count / total }} />
            ))}
          </div>
          <ul className="legend">
            {parts.map(([id, name, count]) => (
              <li key={id} data-part={id}>
                <span>{name}</span> <b>{count}</b>
              </li>
            ))}
          </ul>
        </>
      )}
    </section>
  );
}
