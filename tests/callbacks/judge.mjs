// Asks Shopify's own library which callbacks it believes, and writes its verdicts to callbacks.json, which
// src/shopify/approval.rs is tested against. Nothing of the library is copied. To write them anew, where there is Node.js:
//
//   npm install --no-save @shopify/shopify-api@13.1.0 && node tests/callbacks/judge.mjs

import { createHmac } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

// From wherever it was installed.
const require = createRequire(pathToFileURL(`${process.cwd()}/`));
require('@shopify/shopify-api/adapters/node');
const { shopifyApi, ApiVersion } = require('@shopify/shopify-api');

const NOW = 1337178173;
const SECRET = 'hush';
Date.now = () => NOW * 1000;

const shopify = shopifyApi({
  apiKey: 'id',
  apiSecretKey: SECRET,
  scopes: ['read_products'],
  hostName: 'tokens.example.com',
  apiVersion: Object.values(ApiVersion).at(-1),
  isEmbeddedApp: false,
});

const signed = (parameters, secret = SECRET) => {
  const sorted = new URLSearchParams(Object.entries(parameters).sort(([a], [b]) => (a < b ? -1 : 1)));
  return { ...parameters, hmac: createHmac('sha256', secret).update(sorted.toString()).digest('hex') };
};
const good = {
  code: '0907a61c0c8d55e99db179b68161bc00',
  host: 'YWRtaW4uc2hvcGlmeS5jb20vc3RvcmUvc29tZS1zaG9w',
  shop: 'some-shop.myshopify.com',
  state: 'eyJvYmplY3QiOiJzaG9wL3dlYi8wYTFiIn0.c2lnbmF0dXJl',
  timestamp: String(NOW),
};
const { host: _, ...without } = good;
const cases = {
  "the documentation's example": { ...without, state: '0.6784241404160823', hmac: '700e2dadb827fcc8609e9d5ce208b2e9cdaab9df07390d2cbca10d7c328fc4bf' },
  'as Shopify sends it today': signed(good),
  'a padded host': signed({ ...good, host: 'YWRtaW4uc2hvcGlmeS5jb20vc3RvcmUvYQ==' }),
  'a parameter that nobody knows': signed({ ...good, locale: 'en-CA' }),
  'an empty parameter': signed({ ...good, locale: '' }),
  'a space, a plus and a percent sign': signed({ ...good, state: 'a b+c%d' }),
  'letters of all kinds': signed({ ...good, state: 'é~*-._!\'()/:@' }),
  'the old signature beside it': { ...signed(good), signature: '31b9fcfbd98a3650b8523bcc92f8c5d2' },
  'declined': signed({ error: 'access_denied', shop: good.shop, state: good.state, timestamp: good.timestamp }),
  'signed 90 seconds ago': signed({ ...good, timestamp: String(NOW - 90) }),
  'signed 91 seconds ago': signed({ ...good, timestamp: String(NOW - 91) }),
  'signed 91 seconds from now': signed({ ...good, timestamp: String(NOW + 91) }),
  'another secret': signed(good, 'hash'),
  'another code': { ...signed(good), code: '0907a61c0c8d55e99db179b68161bc01' },
  'another shop': { ...signed(good), shop: 'any-shop.myshopify.com' },
  'another state': { ...signed(good), state: '0.67' },
  'another time': { ...signed(good), timestamp: String(NOW + 1) },
  'one parameter more': { ...signed(good), x: '1' },
  'one parameter less': (({ host, ...rest }) => rest)(signed(good)),
  'no signature': good,
  'an empty signature': { ...good, hmac: '' },
  'a signature in upper case': (({ hmac, ...rest }) => ({ ...rest, hmac: hmac.toUpperCase() }))(signed(good)),
  'half a signature': (({ hmac, ...rest }) => ({ ...rest, hmac: hmac.slice(0, 32) }))(signed(good)),
};
const verdicts = [];
for (const [about, parameters] of Object.entries(cases)) {
  const believed = await shopify.utils.validateHmac({ ...parameters }).catch(() => false);
  verdicts.push({ about, query: new URLSearchParams(parameters).toString(), believed });
}
const { version } = JSON.parse(readFileSync(require.resolve('@shopify/shopify-api').replace(/dist\/.*/, 'package.json')));
const judged = { judge: `@shopify/shopify-api ${version}`, secret: SECRET, now: NOW, verdicts };
writeFileSync(new URL('callbacks.json', import.meta.url), `${JSON.stringify(judged, null, 1)}\n`);
