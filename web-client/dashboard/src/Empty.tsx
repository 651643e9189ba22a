import type { ReactNode } from 'react';

import type { Place } from './places.js';
import { server } from './settings.js';
import { Words } from './Words.js';

interface EmptyProps {
  place: Place;
  isDemo: boolean;
  /** Whether the API wants a key. */
  wantsKey: boolean;
  startDemo: () => void;
}

/** What to do when nothing has come yet. */
export function Empty({ place, isDemo, wantsKey, startDemo }: EmptyProps): ReactNode {
  // A shell ends its quotes at a quote.
  const body = JSON.stringify({ ...place, health_score: 85, utilization: { current_utilization: 82.5 } }).replaceAll(
    "'",
    "'\\''",
  );
  const lines = [
    `curl -X POST ${server}/api/ws/broadcast/kpi`,
    `-H 'Content-Type: application/json'`,
    ...(wantsKey ? [`-H 'X-API-Key: ock_…'`] : []),
    `-d '${body}'`,
  ];
  return (
    <section className="card notice">
      <h2>Nothing has been published here yet</h2>
      <p>Publish something as a backend would, or switch on a feed of made-up data.</p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
      <section className="example" tabIndex={0} aria-label="An example request">
        <pre>{lines.join(' \\\n  ')}</pre>
      </section>
      {wantsKey && (
        <p>
          <Words text={`\`orgcast gen-key --organization ${place.organization_id}\` makes a key.`} />
        </p>
      )}
      <button type="button" className="primary" onClick={startDemo} disabled={isDemo}>
        {isDemo ? 'The demo feed is starting' : 'Start the demo feed'}
      </button>
    </section>
  );
}
