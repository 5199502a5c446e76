// Adds up vitest's JSON reports and prints the closing line of CI: node scripts/ci-summary.mjs REPORT.json …
// Exit code 1: a test or a test file failed, or a report holds no test.
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';

const total = { passed: 0, failed: 0, skipped: 0 };
let bad = false;
for (const path of process.argv.slice(2)) {
  const report = JSON.parse(readFileSync(path, 'utf8'));
  // a file that fails before its first test counts as one failure
  const broken = report.testResults.filter(
    (file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
  );
  const run = {
    passed: report.numPassedTests,
    failed: report.numFailedTests + broken.length,
    skipped: report.numPendingTests + (report.numTodoTests ?? 0),
  };
  if (!report.success || run.failed > 0 || run.passed === 0) bad = true;
  console.log(`${basename(path, '.json').replace('report-', '')}: ${run.passed} passed, ${run.failed} failed, ${run.skipped} skipped`);
  for (const key of Object.keys(total)) total[key] += run[key];
}
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exit(bad || total.passed === 0 ? 1 : 0);
