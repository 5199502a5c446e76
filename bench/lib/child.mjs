// One benchmark with one provider: the process bench/run.mjs starts. Arguments: URL of its module, its options as JSON.
const [, , url, options] = process.argv;
const { run } = await import(url);
try {
  await run(JSON.parse(options));
} catch (error) {
  console.error(error);
  process.exit(1); // clients that are still open would keep the process
}
