import type { ReactNode } from 'react';

import type { Place } from './places.js';
import { server } from './settings.js';

interface EmptyProps {
  place: Place;
  isDemo: boolean;
  startDemo: () => void;
}

/** What to do when nothing has come yet. */
export function Empty({ place, isDemo, startDemo }: EmptyProps): ReactNode {
  const body = JSON.stringify({ ...place, health_score: 85, utilization: { current_utilization: 82.5 } });
  return (
    <section className="card notice">
      <h2>Nothing has been published here yet</h2>
      <p>Publish something as a backend would, or switch on a feed of made-up data.</p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
      <section className="example" tabIndex={0} aria-label="An example request">
        <pre>{`curl -X POST ${server}/api/ws/broadcast/kpi \\
  -H 'Content-Type: application/json' \\
  -d '${body}'`}</pre>
      </section>
      <button type="button" className="primary" onClick={startDemo} disabled={isDemo}>
        {isDemo ? 'The demo feed is starting' : 'Start the demo feed'}
      </button>
    </section>
  );
}
