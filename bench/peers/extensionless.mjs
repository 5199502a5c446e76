// Resolves what @xynehq/jaf 0.1.37 imports: its published modules name each other without ".js", which Node refuses (bundlers add it).
export async function resolve(specifier, context, next) {
  try {
    return await next(specifier, context);
  } catch (error) {
    if (!specifier.startsWith('.') || !['ERR_MODULE_NOT_FOUND', 'ERR_UNSUPPORTED_DIR_IMPORT'].includes(error.code)) throw error;
    return await next(error.code === 'ERR_MODULE_NOT_FOUND' ? `${specifier}.js` : `${specifier}/index.js`, context);
  }
}
