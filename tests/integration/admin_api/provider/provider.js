// A real OpenID provider on a free port: prints its address once it listens. Whoever comes is signed in at once as the
// person that was last set with POST /_person/{name}/{group}[/{verified}]; a group of "-" means none, and `verified` is what
// is said of their mail address (nothing is, without).
import http from 'node:http';
import Provider from 'oidc-provider';

const redirect = process.argv[2];
let person = { name: 'ada', groups: ['desk-admins'] };

const server = http.createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [{ client_id: 'desk', client_secret: 'the-desks-secret', redirect_uris: [redirect] }],
    claims: { openid: ['sub', 'groups'], email: ['email', 'email_verified'], profile: ['preferred_username'] },
    conformIdTokenClaims: false,
    cookies: { keys: ['for these tests only'] },
    features: { devInteractions: { enabled: false } },
    findAccount: (_context, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: `${id}@example.com`, email_verified: person.verified, groups: person.groups }),
    }),
    interactions: { url: (_context, interaction) => `/interaction/${interaction.uid}` },
    pkce: { required: () => true },
    ttl: { AccessToken: 600, AuthorizationCode: 60, Grant: 600, IdToken: 600, Interaction: 600, Session: 600 },
  });
  const callback = provider.callback();

  async function interact(request, response) {
    const { prompt, params, session } = await provider.interactionDetails(request, response);
    if (prompt.name === 'login') {
      await provider.interactionFinished(request, response, { login: { accountId: person.name } });
      return;
    }
    const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
    grant.addOIDCScope(params.scope);
    await provider.interactionFinished(request, response, { consent: { grantId: await grant.save() } });
  }

  server.on('request', (request, response) => {
    const [, first, name, group, verified] = request.url.split('/');
    if (first === '_person') {
      person = { name, groups: group === '-' ? [] : [group], verified: verified && JSON.parse(verified) };
      response.end();
    } else if (first === 'interaction') {
      interact(request, response).catch((error) => {
        response.statusCode = 500;
        response.end(String(error));
      });
    } else {
      callback(request, response);
    }
  });
  process.stdout.write(`${issuer}\n`);
});
