import { engineSuite } from '../lib/engine-suite.mjs';
import { REFERENCE } from '../lib/scenario.mjs';

const revision = 'takes every revision but 4 for 3';

engineSuite(3, { args: ['--eio3'], node: { revision } });
if (REFERENCE) {
  const node = { revision, direction: 'ignores it', tooLarge: 'hangs up' };
  engineSuite(3, { name: 'engine.io 3', args: ['--engine', '3'], node });
}
