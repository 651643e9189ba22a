import type { ReactNode } from 'react';

import type { Summary } from './board.js';

export function Attendance({ attendance }: { attendance: Summary['attendance'] }): ReactNode {
  const parts = attendance && [
    ['present', 'Present', attendance.present],
    ['break', 'On break', attendance.onBreak],
    ['late', 'Late', attendance.late],
    ['absent', 'Absent', attendance.absent],
  ];
  const total = Math.max(1, parts?.reduce((all, [, , count]) => all + Number(count), 0) ?? 1);
  return (
    <section className="card" aria-labelledby="attendance-title">
      <h2 id="attendance-title">Attendance</h2>
      {!attendance || !parts ? (
        <p className="quiet">Nobody has been reported yet.</p>
      ) : (
        <>
          <p className="big">
            <span data-testid="present">{attendance.present}</span>
            <small> of {attendance.scheduled} scheduled</small>
          </p>
          <div className="stack" aria-hidden="true">
            {parts.map(([id, , count]) => (
              <span key={id} data-part={id} style={{ flexGrow: Number(count) / total }} />
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
