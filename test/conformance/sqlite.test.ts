import { sqliteBackend } from 'jaf/memory/testing';
import { conformance } from './conformance.js';

conformance(sqliteBackend());
