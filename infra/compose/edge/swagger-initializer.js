// The documentation of all services on one page; each service makes its own document (/openapi/<service>.json).
window.onload = () => {
  window.ui = SwaggerUIBundle({
    urls: ['governance', 'scheduler', 'access', 'gateway'].map((name) => ({ name, url: `/openapi/${name}.json` })),
    dom_id: '#swagger-ui',
    deepLinking: true,
    presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
    layout: 'StandaloneLayout',
    tagsSorter: 'alpha',
  });
};
