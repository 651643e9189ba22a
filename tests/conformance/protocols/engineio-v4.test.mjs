import { engineSuite } from '../lib/engine-suite.mjs';

engineSuite(4, { args: [], node: {} });
