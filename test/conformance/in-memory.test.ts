import { inMemoryBackend } from 'jaf/memory/testing';
import { conformance } from './conformance.js';

conformance(inMemoryBackend());
