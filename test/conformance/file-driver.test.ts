import { fileBackend } from '../../examples/file-driver/backend.js';
import { conformance } from './conformance.js';

conformance(fileBackend);
