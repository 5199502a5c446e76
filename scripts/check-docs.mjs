// Every exported declaration of src/ has a docstring, and so has every method and property that a user can reach from the
// public entry points; every type of ours that a public declaration names can be imported too. oxlint has no such rules, and
// TypeScript 7 has no compiler API yet, so this asks TypeScript 6 beside it. `node scripts/check-docs.mjs [PATH PREFIX]`
import { readdirSync, readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from '@typescript/typescript6';

const root = fileURLToPath(new URL('..', import.meta.url));
const { exports: entries } = JSON.parse(readFileSync(`${root}package.json`, 'utf8'));
const findings = new Set();

/** Notes one finding, once. */
function report(node, what) {
  const file = node.getSourceFile();
  const { line } = file.getLineAndCharacterOfPosition(node.getStart());
  findings.add(`${relative(root, file.fileName)}:${String(line + 1).padStart(4)}  ${what}`);
}

/** Whether a declaration has a doc comment with words in it. */
function isDocumented(node) {
  const holder = ts.isVariableDeclaration(node) ? node.parent.parent : node;
  return ts.getJSDocCommentsAndTags(holder).some((part) => ts.isJSDoc(part) && /\w/.test(part.getText()));
}

const hasModifier = (node, kind) => (ts.canHaveModifiers(node) ? (ts.getModifiers(node) ?? []) : []).some((m) => m.kind === kind);

/** Exported statements of a file. Of overloads, one signature speaks for all. */
function checkExported(file) {
  const documented = new Set();
  const open = [];
  for (const statement of file.statements) {
    if (!hasModifier(statement, ts.SyntaxKind.ExportKeyword)) continue;
    const declarations = ts.isVariableStatement(statement) ? statement.declarationList.declarations : [statement];
    for (const declaration of declarations) {
      const name = declaration.name?.getText() ?? 'default';
      if (isDocumented(declaration)) documented.add(name);
      else open.push([declaration, name]);
    }
  }
  for (const [node, name] of open) if (!documented.has(name)) report(node, `${name} has no docstring`);
}

const paths = readdirSync(`${root}src`, { recursive: true })
  .map((path) => `${root}src/${path}`)
  .filter((path) => path.endsWith('.ts') && !path.endsWith('.generated.ts'));
const config = ts.getParsedCommandLineOfConfigFile(
  `${root}tsconfig.json`,
  {},
  { ...ts.sys, onUnRecoverableConfigFileDiagnostic: console.error },
);
const program = ts.createProgram(paths, { ...config.options, noEmit: true });
const checker = program.getTypeChecker();
for (const path of paths) checkExported(program.getSourceFile(path));

/** A member typed `never` only forbids a name. */
const isForbidden = (node) => 'type' in node && node.type?.kind === ts.SyntaxKind.NeverKeyword;

/** Members of a public class or interface. A `name` in the docstring of the whole type describes that member too. */
function checkMembers(symbol) {
  const summary = symbol.declarations
    .flatMap((d) => ts.getJSDocCommentsAndTags(d))
    .map((part) => part.getText())
    .join('\n');
  for (const member of symbol.members?.values() ?? []) {
    if (summary.includes(`\`${member.name}\``)) continue;
    const declarations = (member.declarations ?? []).filter(
      (d) =>
        (ts.isMethodDeclaration(d) ||
          ts.isMethodSignature(d) ||
          ts.isPropertyDeclaration(d) ||
          ts.isPropertySignature(d) ||
          ts.isAccessor(d)) &&
        !ts.isPrivateIdentifier(d.name) &&
        !isForbidden(d) &&
        !hasModifier(d, ts.SyntaxKind.PrivateKeyword),
    );
    if (declarations.length > 0 && !declarations.some(isDocumented))
      report(declarations[0], `${symbol.name}.${member.name} has no docstring`);
  }
}

/** Types of ours that a public declaration names in its signature (bodies and private members aside). */
function typesNamedIn(declaration) {
  const named = new Set();
  const visit = (node) => {
    if (ts.isBlock(node) || hasModifier(node, ts.SyntaxKind.PrivateKeyword) || ts.isJSDoc(node)) return;
    if (node.name && ts.isPrivateIdentifier(node.name)) return;
    if (ts.isTypeReferenceNode(node) || ts.isExpressionWithTypeArguments(node)) {
      const found = checker.getSymbolAtLocation(node.typeName ?? node.expression);
      if (found) named.add(found.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(found) : found);
    }
    if (ts.isPropertyDeclaration(node) || ts.isVariableDeclaration(node)) {
      if (node.type) visit(node.type);
    } else ts.forEachChild(node, visit);
  };
  visit(declaration);
  return [...named].filter((symbol) => !(symbol.flags & ts.SymbolFlags.TypeParameter) && isOurs(symbol));
}

const isOurs = (symbol) => symbol.declarations?.some((d) => d.getSourceFile().fileName.startsWith(`${root}src/`)) ?? false;
const publicSymbols = new Set();
for (const entry of Object.values(entries)) {
  if (typeof entry === 'string') continue;
  const source = program.getSourceFile(root + entry.types.replace('./dist/', 'src/').replace(/\.d\.ts$/, '.ts'));
  const module = source && checker.getSymbolAtLocation(source);
  if (!module) {
    console.error(`${entry.types}: no such entry point in src/`);
    process.exitCode = 1;
    continue;
  }
  for (const exported of checker.getExportsOfModule(module)) {
    const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported;
    if (isOurs(symbol)) publicSymbols.add(symbol);
  }
}
for (const symbol of publicSymbols) {
  if (symbol.flags & (ts.SymbolFlags.Class | ts.SymbolFlags.Interface)) checkMembers(symbol);
  for (const declaration of symbol.declarations) {
    for (const named of typesNamedIn(declaration)) {
      if (!publicSymbols.has(named)) report(declaration, `${symbol.name} names ${named.name}, which no entry point exports`);
    }
  }
}
const prefix = process.argv[2] ?? '';
for (const finding of [...findings].sort()) if (finding.startsWith(prefix)) console.error(finding);
console.log(`docstrings: ${paths.length} files, ${publicSymbols.size} public names, ${findings.size} findings`);
if (findings.size > 0) process.exitCode = 1;
