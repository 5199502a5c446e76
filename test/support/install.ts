/**
 * Runs once before all tests: the servers they start have to be on this machine. Where they are missing and this process
 * may install Debian packages, it does; else the tests that need a server fail and say what to install.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { missingServers } from './programs.js';

/** Debian asks this program whether a service may be started when its package is installed. */
const POLICY = '/usr/sbin/policy-rc.d';

/** Installs what is missing; private servers are started by the tests, so no service is. */
export function setup(): void {
  const packages = missingServers();
  if (packages.length === 0) return;
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) return;
  console.log(`These tests start their own servers. Installing Debian packages: ${packages.join(' ')}`);
  const own = !existsSync(POLICY);
  if (own) writeFileSync(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  const apt = (...args: string[]): void => {
    execFileSync('apt-get', ['-q', ...args], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    });
  };
  try {
    apt('update');
    apt('install', '-y', '--no-install-recommends', ...packages);
  } catch (error) {
    const { stderr } = error as { stderr?: Buffer };
    console.error(`apt-get failed, so the tests that need these packages will:\n${stderr?.toString().slice(-2000) ?? String(error)}`);
  } finally {
    if (own) rmSync(POLICY);
  }
}
